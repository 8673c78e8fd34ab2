// Media: what kinds there are, which kind a file is, and the message part that carries it.
//
// A medium is {kind, name, blob, url}, and for motion what motion.js adds.
import { showClip } from "./clip.js";
import { showImage } from "./image.js";
import { motionPart, readMotion, showMotion } from "./motion.js";
import { showSound } from "./sound.js";

/** By the names that the service gives to modalities. */
export const KINDS = {
  image: { label: "Image", noun: "an image", accept: "image/*", show: showImage },
  video: { label: "Clip", noun: "a clip", accept: "video/*,image/gif", show: showClip },
  audio: { label: "Sound", noun: "a sound", accept: "audio/*", show: showSound },
  imu: {
    label: "Motion",
    noun: "a motion recording",
    accept: ".csv,.tsv,.txt,.json,.npy,.npz,.parquet,.zip",
    show: showMotion,
  },
};

const TYPES = { png: "image/png", jpg: "image/jpeg", mov: "video/quicktime", wav: "audio/wav" };
const MOTION_FILE = /\.(csv|tsv|txt|json|npy|npz|parquet)$/i;

/** The kind of a file that was dropped or pasted; null for one that no kind fits. */
export function kindOf(file) {
  const family = file.type.split("/")[0];
  if (family in { image: 1, video: 1, audio: 1 }) return family;
  if (MOTION_FILE.test(file.name)) return "imu";
  return /\.(mkv|avi|mov|webm)$/i.test(file.name) ? "video" : null;
}

/** A medium of a file or of something recorded. */
export async function mediumOf(kind, blob, name = blob.name, more = {}) {
  const medium = { kind, name, blob, url: URL.createObjectURL(blob), ...more };
  if (kind === "imu" && !medium.motion) medium.motion = await readMotion(blob, name);
  return medium;
}

/** Lets go of a medium's bytes. */
export function forget(medium) {
  medium.audio?.pause();
  URL.revokeObjectURL(medium.url);
}

/** The message part that carries a medium. */
export async function partOf(medium) {
  if (medium.kind === "imu") return motionPart(medium, base64);
  const url = `data:${typeOf(medium)};base64,${await base64(medium.blob)}`;
  const type = `${medium.kind}_url`;
  return { type, [type]: { url } };
}

/** The media type alone: recorders add codecs, and some files come without any. */
function typeOf({ blob, name, kind }) {
  const extension = name.split(".").pop().toLowerCase();
  return blob.type.split(";")[0] || TYPES[extension] || `${kind}/${extension}`;
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}
