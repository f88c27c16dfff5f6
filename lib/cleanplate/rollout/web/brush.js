// The brush: a mask at the image's own size, painted by pointer or by keyboard; strokes can be taken back.
"use strict";

const INK = [255, 74, 36];

class Brush {
  constructor(canvas, cursor) {
    this.canvas = canvas;
    this.cursor = cursor;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.strokes = [];
    this.base = null;
    this.size = 24;
    this.erases = false;
    this.stroke = null;
    this.at = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.begin(this.place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      this.move(this.place(event));
      if (this.stroke && event.buttons) this.extend(this.at);
    });
    canvas.addEventListener("pointerup", () => this.end());
    canvas.addEventListener("pointercancel", () => this.end());
  }

  // Starts from a mask: a grey picture whose brightness becomes the ink's opacity.
  async load(url) {
    const picture = new Image();
    picture.src = url;
    await picture.decode();
    this.canvas.width = picture.naturalWidth; // the original's size: a result may have been enlarged
    this.canvas.height = picture.naturalHeight;
    this.context.drawImage(picture, 0, 0);
    const pixels = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const level = pixels.data[i];
      pixels.data.set(INK, i);
      pixels.data[i + 3] = level;
    }
    this.base = pixels;
    this.strokes = [];
    this.stroke = null;
    this.size = Math.max(2, Math.round(Math.max(this.canvas.width, this.canvas.height) / 30));
    this.move([this.canvas.width / 2, this.canvas.height / 2]);
    this.draw();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [
      (event.clientX - box.left) * this.canvas.width / box.width,
      (event.clientY - box.top) * this.canvas.height / box.height,
    ];
  }

  move([x, y]) {
    this.at = [Math.min(Math.max(x, 0), this.canvas.width), Math.min(Math.max(y, 0), this.canvas.height)];
    const scale = this.canvas.clientWidth / this.canvas.width || 1;
    Object.assign(this.cursor.style, {
      left: `${this.canvas.offsetLeft + this.at[0] * scale}px`, top: `${this.canvas.offsetTop + this.at[1] * scale}px`,
      width: `${this.size * scale}px`, height: `${this.size * scale}px`,
    });
    this.cursor.classList.toggle("erases", this.erases);
    this.cursor.classList.toggle("down", Boolean(this.stroke));
  }

  begin(point) {
    this.stroke = { points: [point], size: this.size, erases: this.erases };
    this.strokes.push(this.stroke);
    this.move(point);
    this.trace(this.stroke, 0);
  }

  extend(point) {
    this.stroke.points.push(point);
    this.trace(this.stroke, this.stroke.points.length - 2);
  }

  end() {
    this.stroke = null;
    if (this.at) this.move(this.at);
  }

  // With the keyboard: arrows step by a third of the brush, the space bar puts it down and lifts it.
  step(x, y, far) {
    const by = Math.max(1, this.size / 3) * (far ? 4 : 1);
    this.move([this.at[0] + x * by, this.at[1] + y * by]);
    if (this.stroke) this.extend(this.at);
  }

  toggle() {
    if (this.stroke) this.end();
    else this.begin(this.at);
  }

  resize(by) {
    this.size = Math.min(Math.max(Math.round(this.size * by), 1), 400);
    this.end();
  }

  undo() {
    this.end();
    this.strokes.pop();
    this.draw();
  }

  draw() {
    this.context.putImageData(this.base, 0, 0);
    for (const stroke of this.strokes) this.trace(stroke, 0);
  }

  // Draws a stroke from its point number `from` on.
  trace(stroke, from) {
    const points = stroke.points.slice(Math.max(from, 0));
    this.context.globalCompositeOperation = stroke.erases ? "destination-out" : "source-over";
    this.context.strokeStyle = this.context.fillStyle = `rgb(${INK})`;
    this.context.lineWidth = stroke.size;
    this.context.lineCap = this.context.lineJoin = "round";
    this.context.beginPath();
    this.context.moveTo(...points[0]);
    for (const point of points) this.context.lineTo(...point);
    if (points.length === 1) this.context.lineTo(points[0][0] + 0.01, points[0][1]); // a line without length may draw nothing
    this.context.stroke();
    this.context.globalCompositeOperation = "source-over";
  }

  // The mask as a grey PNG at the image's size.
  async toPng() {
    this.end();
    const pixels = this.context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    for (let i = 0; i < pixels.data.length; i += 4) {
      const level = pixels.data[i + 3];
      pixels.data[i] = pixels.data[i + 1] = pixels.data[i + 2] = level;
      pixels.data[i + 3] = 255;
    }
    const copy = document.createElement("canvas");
    copy.width = this.canvas.width;
    copy.height = this.canvas.height;
    copy.getContext("2d").putImageData(pixels, 0, 0);
    return new Promise((done) => copy.toBlob(done, "image/png"));
  }
}
