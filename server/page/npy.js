// NumPy's .npy arrays of two dimensions.

const READERS = {
  f4: ["getFloat32", 4],
  f8: ["getFloat64", 8],
  i2: ["getInt16", 2],
  i4: ["getInt32", 4],
};

/** Rows of numbers; null for another shape or type. */
export function readNpy(buffer) {
  const view = new DataView(buffer);
  const isNew = view.byteLength > 12 && view.getUint8(6) > 1;
  const start = isNew ? 12 : 10;
  if (view.byteLength < start) return null;
  const length = isNew ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder("latin1").decode(buffer.slice(start, start + length));
  const [, order, type] = /'descr': '([<>|=])(\w\d)'/.exec(header) ?? [];
  const [, height, width] = /'shape': \((\d+), (\d+)\)/.exec(header)?.map(Number) ?? [];
  const [read, size] = READERS[type] ?? [];
  const offset = start + length;
  if (!read || !width || view.byteLength < offset + height * width * size) return null;
  const isByColumn = header.includes("'fortran_order': True");
  const value = (row, column) => {
    const place = isByColumn ? column * height + row : row * width + column;
    return view[read](offset + place * size, order !== ">");
  };
  const columns = [...Array(width).keys()];
  return [...Array(height).keys()].map((row) => columns.map((column) => value(row, column)));
}
