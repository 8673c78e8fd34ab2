// Motion files to rows for the preview. The service reads the file itself, and has the last word;
// the names of columns are those of docs/media.md.
import { readNpy } from "./npy.js";

const CHANNELS = ["ax", "ay", "az", "gx", "gy", "gz"];
const SECONDS = { s: 1, ms: 1e-3, us: 1e-6, ns: 1e-9 };
const CLOCK = /^(?:t|time|timestamp|canonical_timestamp)_(s|ms|us|ns)$/;
const CHANNEL = /^(?:(a|acc_|accl_|accel_)|g|gyr_|gyro_)([xyz])$/;

/**
 * Reads a table: `{rows, rateHz, hasClock}`, rows of 3 or 6 numbers.
 * Null where the page has no reader for the format, or finds no such table.
 */
export async function readTable(blob, format) {
  if (format === "npy") return tableOfRows(readNpy(await blob.arrayBuffer()));
  if (format === "json") return readJson(await blob.text());
  if (format === "csv") return readCsv(await blob.text());
  return null;
}

function readCsv(text) {
  const lines = text.replace(/^\ufeff/, "").split(/\r?\n/).filter((line) => line.trim());
  if (!lines.length) return null;
  const mark = [",", ";", "\t"].find((each) => lines[0].includes(each)) ?? /\s+/;
  const plain = (cell) => cell.trim().replaceAll('"', "");
  const cells = lines.map((line) => line.trim().split(mark).map(plain));
  const [names, ...rest] = cells;
  if (names.every(isNumber)) return tableOfRows(cells.map((row) => row.map(Number)));
  return tableOfColumns(names, rest.map((row) => row.map(Number)));
}

function readJson(text) {
  let content;
  try {
    content = JSON.parse(text);
  } catch {
    return null; // the service says where it is broken
  }
  const samples = content?.samples ?? content;
  let table = null;
  if (Array.isArray(samples?.[0])) table = tableOfRows(samples);
  else if (Array.isArray(samples)) {
    const names = Object.keys(samples[0] ?? {});
    table = tableOfColumns(names, samples.map((row) => names.map((name) => row[name])));
  } else if (samples && typeof samples === "object") {
    const names = Object.keys(samples);
    const first = samples[names[0]];
    if (!Array.isArray(first)) return null;
    table = tableOfColumns(names, first.map((_, row) => names.map((name) => samples[name]?.[row])));
  }
  if (table && content?.samples && content.rate_hz) {
    return { ...table, rateHz: content.rate_hz, hasClock: true };
  }
  return table;
}

function tableOfRows(rows) {
  const width = rows?.[0]?.length;
  if (width !== 3 && width !== 6) return null;
  return checked({ rows, rateHz: null, hasClock: false });
}

function tableOfColumns(names, rows) {
  const plain = names.map((name) => name.trim().toLowerCase());
  const meanings = plain.map(channelOf);
  const places = CHANNELS.map((channel) => meanings.indexOf(channel));
  const width = places.indexOf(-1) === -1 ? 6 : 3;
  if (places.slice(0, width).includes(-1)) return null;
  const clock = plain.findIndex((name) => CLOCK.test(name));
  const picked = rows.map((row) => places.slice(0, width).map((place) => row[place]));
  return checked({ rows: picked, rateHz: rateOf(rows, clock, plain), hasClock: clock !== -1 });
}

function channelOf(name) {
  const [, acceleration, axis] = CHANNEL.exec(name) ?? [];
  if (axis === undefined) return null;
  return (acceleration === undefined ? "g" : "a") + axis;
}

function rateOf(rows, clock, names) {
  if (clock === -1 || rows.length < 2) return null;
  const seconds = SECONDS[CLOCK.exec(names[clock])[1]];
  const span = (rows.at(-1)[clock] - rows[0][clock]) * seconds;
  return span > 0 ? (rows.length - 1) / span : null;
}

function checked(table) {
  const isWhole = table.rows.every((row) => row.every((value) => Number.isFinite(value)));
  return isWhole && table.rows.length ? table : null;
}

function isNumber(cell) {
  return cell !== "" && Number.isFinite(Number(cell));
}
