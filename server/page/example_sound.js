// A sound as the built-in model knows them: anymal/playground/sounds.py is its model.
import { toWav } from "./wav.js";

export const RATE_HZ = 16000;
const NUM_BEEPS = 3;
const PITCH_HZ = 1200;
const BEEP_S = 0.12;
const GAP_S = 0.43;
const LEAD_S = 0.1;
const EDGE_S = 0.01;
const LEVEL = 0.4;
const HISS = 0.001;

/** Three slow high beeps. */
export function beeps() {
  const each = BEEP_S + GAP_S;
  const samples = new Float32Array(Math.round((LEAD_S + NUM_BEEPS * each) * RATE_HZ));
  return samples.map((_, index) => {
    const time = index / RATE_HZ - LEAD_S;
    const hiss = (Math.random() * 2 - 1) * HISS;
    return time < 0 || time % each >= BEEP_S ? hiss : LEVEL * beep(time % each) + hiss;
  });
}

/** A tone with one overtone and soft edges. */
function beep(time) {
  const phase = 2 * Math.PI * PITCH_HZ * time;
  const edge = Math.min(1, time / EDGE_S, (BEEP_S - time) / EDGE_S);
  return (edge * (Math.sin(phase) + 0.3 * Math.sin(2 * phase))) / 1.13;
}

export const beepsFile = () => toWav(beeps(), RATE_HZ);
