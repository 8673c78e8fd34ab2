// An image before it is sent: its thumbnail.
import { element } from "./element.js";

/** Its preview; `tell` gets its size in words. */
export function showImage(medium, tell) {
  const picture = element("img", { className: "picture", alt: medium.name });
  picture.addEventListener("load", () => {
    tell(`${picture.naturalWidth} x ${picture.naturalHeight}`);
  });
  picture.addEventListener("error", () => {
    picture.replaceWith("This browser cannot show it; the service may still read it.");
  });
  picture.src = medium.url;
  return picture;
}
