// A sound from the microphone, as WAV.
import { drawing } from "./canvas.js";
import { nameNow, stream } from "./recorder.js";
import { drawWave } from "./sound.js";
import { toWav } from "./wav.js";

// What speech and sound encoders read; a sixth of what the microphone gives.
const RATE_HZ = 16000;
const SHOWN_SECONDS = 3;
// What the audio thread sends is 128 samples each; more than is shown at any rate.
const KEPT_PIECES = 2000;
// Calls clean the sound for the ear of another person; a model should hear what there was.
const MICROPHONE = {
  audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
};

export const soundSource = {
  title: "Record a sound",
  begin: "Record",
  mostSeconds: 60,
  async open(view) {
    const microphone = await stream(MICROPHONE);
    const context = new AudioContext();
    await context.resume();
    await context.audioWorklet.addModule("/page/pcm_tap.js");
    const tap = new AudioWorkletNode(context, "pcm-tap", { numberOfOutputs: 0 });
    context.createMediaStreamSource(microphone).connect(tap);
    let heard = [];
    let isRecording = false;
    const canvas = drawing("Level of the microphone", (...surface) => {
      drawWave(latest(heard, context.sampleRate), isRecording ? 1 : 0, ...surface);
    });
    view.replaceChildren(canvas);
    let count = 0;
    tap.port.onmessage = ({ data }) => {
      heard.push(data);
      if (!isRecording && heard.length > KEPT_PIECES) heard.shift();
      count += 1;
      if (count % 8 === 0) canvas.redraw();
    };
    return {
      start: () => {
        heard = [];
        isRecording = true;
      },
      finish: async () => {
        const samples = await resampled(joined(heard), context.sampleRate);
        return { blob: toWav(samples, RATE_HZ), name: nameNow("sound", "wav") };
      },
      close: () => {
        for (const track of microphone.getTracks()) track.stop();
        return context.close();
      },
    };
  },
};

function joined(pieces) {
  const all = new Float32Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
  let at = 0;
  for (const piece of pieces) {
    all.set(piece, at);
    at += piece.length;
  }
  return all;
}

/** The last seconds, with silence before where there are fewer. */
function latest(pieces, rateHz) {
  const size = SHOWN_SECONDS * rateHz;
  const few = joined(pieces.slice(-Math.ceil(size / 128)));
  const shown = new Float32Array(size);
  shown.set(few.subarray(Math.max(0, few.length - size)), Math.max(0, size - few.length));
  return shown;
}

async function resampled(samples, fromHz) {
  if (samples.length === 0) throw new Error("The microphone gave no sound.");
  const length = Math.max(1, Math.round((samples.length * RATE_HZ) / fromHz));
  const context = new OfflineAudioContext(1, length, RATE_HZ);
  const buffer = context.createBuffer(1, samples.length, fromHz);
  buffer.copyToChannel(samples, 0);
  const source = context.createBufferSource();
  source.buffer = buffer;
  source.connect(context.destination);
  source.start();
  return (await context.startRendering()).getChannelData(0);
}
