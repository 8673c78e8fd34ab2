// Runs on the browser's audio thread: hands on what the microphone hears, sample by sample.

registerProcessor(
  "pcm-tap",
  class extends AudioWorkletProcessor {
    process([input]) {
      if (input[0]) this.port.postMessage(input[0].slice());
      return true;
    }
  },
);
