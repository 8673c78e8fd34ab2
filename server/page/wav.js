// Samples to the bytes of a WAV file: 16-bit, one channel.

/** @param {Float32Array} samples in [-1, 1]. */
export function toWav(samples, rateHz) {
  const bytes = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const write = (at, text) => [...text].forEach((c, i) => bytes.setUint8(at + i, c.charCodeAt(0)));
  write(0, "RIFF");
  bytes.setUint32(4, 36 + samples.length * 2, true);
  write(8, "WAVEfmt ");
  bytes.setUint32(16, 16, true);
  bytes.setUint16(20, 1, true); // PCM
  bytes.setUint16(22, 1, true); // channels
  bytes.setUint32(24, rateHz, true);
  bytes.setUint32(28, rateHz * 2, true);
  bytes.setUint16(32, 2, true);
  bytes.setUint16(34, 16, true);
  write(36, "data");
  bytes.setUint32(40, samples.length * 2, true);
  samples.forEach((value, index) => {
    const clipped = Math.max(-1, Math.min(1, value));
    bytes.setInt16(44 + index * 2, Math.round(clipped * 32767), true);
  });
  return new Blob([bytes], { type: "audio/wav" });
}
