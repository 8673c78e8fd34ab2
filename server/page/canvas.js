// Canvases that stay sharp: drawn again when they are resized or the theme changes.

/**
 * A canvas with a name for those who cannot see it.
 * `draw(context, width, height, canvas)` gets CSS pixels and a clean canvas.
 */
export function drawing(label, draw) {
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", label);
  canvas.redraw = () => {
    const { clientWidth: width, clientHeight: height } = canvas;
    if (!width || !height) return;
    const scale = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    draw(context, width, height, canvas);
  };
  new ResizeObserver(canvas.redraw).observe(canvas);
  return canvas;
}

document.addEventListener("themechange", () => {
  for (const canvas of document.querySelectorAll("canvas")) canvas.redraw?.();
});

/** A colour of theme.css by its name, as the theme of the moment has it. */
export function themeColour(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** A line through values between low and high; many values to a pixel become their extent. */
export function drawLine(context, width, height, values, [low, high], colour) {
  const toX = (index) => (values.length > 1 ? (index / (values.length - 1)) * width : width / 2);
  const toY = (value) => height - ((value - low) / (high - low || 1)) * height;
  const step = Math.max(1, Math.floor(values.length / (width * 2)));
  context.beginPath();
  for (let start = 0; start < values.length; start += step) {
    let [least, most] = [values[start], values[start]];
    for (let index = start + 1; index < Math.min(start + step, values.length); index += 1) {
      least = Math.min(least, values[index]);
      most = Math.max(most, values[index]);
    }
    context.lineTo(toX(start), toY(least));
    if (most > least) context.lineTo(toX(start), toY(most));
  }
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  context.stroke();
}

/** A picture at the largest size that fits a box, in its middle. */
export function drawInside(context, picture, x, y, width, height) {
  const scale = Math.min(width / picture.width, height / picture.height);
  const [w, h] = [picture.width * scale, picture.height * scale];
  context.drawImage(picture, x + (width - w) / 2, y + (height - h) / 2, w, h);
}
