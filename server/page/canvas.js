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

/** Pictures of one size side by side, as large as a box allows, in its middle. */
export function drawTiles(context, pictures, width, height) {
  const gap = 6;
  const most = (width - gap * (pictures.length - 1)) / pictures.length;
  const scale = Math.min(most / pictures[0].width, height / pictures[0].height);
  const [w, h] = [pictures[0].width * scale, pictures[0].height * scale];
  const left = (width - pictures.length * (w + gap) + gap) / 2;
  pictures.forEach((picture, index) => {
    const [x, y] = [left + index * (w + gap), (height - h) / 2];
    context.save();
    context.beginPath();
    context.roundRect(x, y, w, h, 6);
    context.clip();
    context.drawImage(picture, x, y, w, h);
    context.restore();
    context.strokeStyle = themeColour("line");
    context.stroke();
  });
}
