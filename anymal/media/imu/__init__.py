"""Motion files of any layout to six axes in SI units."""
