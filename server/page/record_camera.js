// A photo or a clip from the camera.
import { element } from "./element.js";
import { nameNow, stream } from "./recorder.js";

const CAMERA = { video: { facingMode: "environment", width: { ideal: 1280 } } };
const JPEG_QUALITY = 0.92;

export const photoSource = {
  title: "Take a photo",
  begin: "Take it",
  mostSeconds: 0,
  async open(view) {
    const { camera, video } = await openCamera(view);
    return {
      finish: async () => {
        const canvas = element("canvas", { width: video.videoWidth, height: video.videoHeight });
        canvas.getContext("2d").drawImage(video, 0, 0);
        const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", JPEG_QUALITY));
        return { blob, name: nameNow("photo", "jpg") };
      },
      close: () => turnOff(camera),
    };
  },
};

export const clipSource = {
  title: "Record a clip",
  begin: "Record",
  mostSeconds: 30,
  async open(view) {
    const { camera } = await openCamera(view);
    const film = filmOf(camera);
    return { ...film, close: () => turnOff(camera) };
  },
};

async function openCamera(view) {
  const camera = await stream(CAMERA);
  const video = element("video", { muted: true, srcObject: camera });
  video.playsInline = true;
  video.setAttribute("aria-label", "What the camera sees");
  view.replaceChildren(video);
  await video.play();
  return { camera, video };
}

function turnOff(camera) {
  for (const track of camera.getTracks()) track.stop();
}

/** Films a stream with the browser's recorder; also makes the example's clip. */
export function filmOf(source, name = null) {
  if (!window.MediaRecorder) throw new Error("This browser cannot record clips.");
  const types = ["video/webm;codecs=vp9", "video/webm", "video/mp4"];
  const mimeType = types.find((type) => MediaRecorder.isTypeSupported(type));
  const recorder = new MediaRecorder(source, { mimeType, videoBitsPerSecond: 2_500_000 });
  const pieces = [];
  recorder.addEventListener("dataavailable", ({ data }) => pieces.push(data));
  return {
    start: () => recorder.start(),
    finish: () =>
      new Promise((resolve) => {
        recorder.addEventListener("stop", () => {
          const type = recorder.mimeType.split(";")[0];
          const blob = new Blob(pieces, { type });
          resolve({ blob, name: name ?? nameNow("clip", type.split("/")[1]) });
        });
        recorder.stop();
      }),
  };
}
