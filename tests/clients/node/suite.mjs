// @clickhouse/client: JSON, CSV and TSV, in arrays and streams, in each compression of requests. What it prints: ../README.md.

import { createClient } from "@clickhouse/client";
import assert from "node:assert";
import { Readable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import zlib from "node:zlib";

const { CLIENTS_URL: url, CLIENTS_TABLE: table, CLIENTS_READ: readTable, CLIENTS_PHASE: phase, CLIENTS_ONLY: only } = process.env;
const count = Number(process.env.CLIENTS_ROWS);
const U64_MAX = 2n ** 64n - 1n;
const I64_MIN = -(2n ** 63n);
const START_MS = Date.UTC(2023, 10, 14, 22, 13, 20);
const FIRST_DAY_MS = Date.UTC(1997, 4, 19);
const DAY_MS = 86_400_000;

// Numbers beyond 2^53 are sent as strings, as the client's documentation advises.
function row(label, i) {
  const n = BigInt(i);
  const high = i.toString(16).padStart(4, "0");
  const low = (65535 - i).toString(16).padStart(4, "0");
  return {
    label,
    id: i,
    big: String(i % 2 ? n : U64_MAX - n),
    small: String(i % 2 ? -n : I64_MIN + n),
    ratio: (i - 5000) / 8,
    name: `zażółć ${i} 水🦀 "q" 's' \\ , \t;\n`,
    note: [null, "", `note ${i}`][i % 3],
    amount: i % 5 === 0 ? null : i - 5000,
    kind: `kind ${i % 7}`,
    tags: Array.from({ length: i % 4 }, (_, k) => `ß${k}, "x"`),
    numbers: Array.from({ length: i % 3 }, (_, k) => String(U64_MAX - BigInt(k))),
    at: new Date(START_MS + 61_000 * i).toISOString().slice(0, 19).replace("T", " "),
    day: new Date(FIRST_DAY_MS + DAY_MS * i).toISOString().slice(0, 10),
    uid: `${high}${high}-${high}-${low}-${low}-${high}${low}${high}`,
    // Its 12 digits are exact in a number; 18.16 reads no Decimal in quotes.
    price: (12345 * i - 50_000_000) / 10_000,
  };
}

const columns = Object.keys(row("", 0));
const TYPES = ["LowCardinality(String)", "UInt64", "UInt64", "Int64", "Float64", "String", "Nullable(String)", "Nullable(Int32)",
  "LowCardinality(String)", "Array(String)", "Array(UInt64)", "DateTime('UTC')", "Date", "UUID", "Decimal(18, 4)"];
const rows = (label) => Array.from({ length: count }, (_, i) => row(label, i));

// --- rows in each format

function array(values) {
  const quoted = values.map((value) => (/^\d+$/.test(value) ? value : `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`));
  return `[${quoted.join(",")}]`;
}

const text = (value) => (Array.isArray(value) ? array(value) : String(value));
const csvField = (value) => (value === null ? "\\N" : typeof value === "number" ? String(value) : `"${text(value).replaceAll('"', '""')}"`);
const tsvField = (value) =>
  value === null ? "\\N" : text(value).replaceAll("\\", "\\\\").replaceAll("\t", "\\t").replaceAll("\n", "\\n");
const csvLine = (values) => `${values.map(csvField).join(",")}\n`;
const tsvLine = (values) => `${values.map(tsvField).join("\t")}\n`;

// Each: what `insert` takes as values, for one label.
const objects = (label) => rows(label);
const arrays = (label) => rows(label).map(Object.values);
const stream = (make) => (label) => Readable.from(make(label), { objectMode: true });
const lines = (line, header) => (label) =>
  Readable.from((function* () {
    if (header) yield line(columns);
    for (const one of rows(label)) yield line(Object.values(one));
  })(), { objectMode: false });
const withNames = (label) => [columns, ...arrays(label)];
// What ClickHouse writes for NULL where everything is a string.
const asStrings = (value) => (value === null ? "ᴺᵁᴸᴸ" : text(value));

const FORMATS = {
  "default format (JSONCompactEachRow)": [undefined, arrays],
  "JSONEachRow, array": ["JSONEachRow", objects],
  "JSONEachRow, stream": ["JSONEachRow", stream(objects)],
  "JSONCompactEachRow, array": ["JSONCompactEachRow", arrays],
  "JSONCompactEachRow, stream": ["JSONCompactEachRow", stream(arrays)],
  "JSONCompactEachRowWithNames": ["JSONCompactEachRowWithNames", withNames],
  "JSONStringsEachRow": ["JSONStringsEachRow", (label) => rows(label).map((one) =>
    Object.fromEntries(Object.entries(one).map(([name, value]) => [name, asStrings(value)])))],
  "JSONCompactStringsEachRow": ["JSONCompactStringsEachRow", (label) => arrays(label).map((one) => one.map(asStrings))],
  "JSON": ["JSON", (label) => ({ meta: columns.map((name, at) => ({ name, type: TYPES[at] })), data: rows(label) })],
  "JSONObjectEachRow": ["JSONObjectEachRow", (label) => Object.fromEntries(rows(label).map((one) => [`row ${one.id}`, one]))],
  "CSV": ["CSV", lines(csvLine)],
  "CSVWithNames": ["CSVWithNames", lines(csvLine, true)],
  "TabSeparated": ["TabSeparated", lines(tsvLine)],
  "TabSeparatedWithNames": ["TabSeparatedWithNames", lines(tsvLine, true)],
};
const COMPRESSED = ["default format (JSONCompactEachRow)", "JSONEachRow, stream", "CSV", "TabSeparated"];
const COMPRESSIONS = { gzip: true, br: { codec: "br" }, zstd: { codec: "zstd" } };

// --- telling

let told = 0;

function tell(...fields) {
  told += 1;
  console.log(fields.map((field) => String(field).replace(/[\n\t]/g, " ")).join("\t"));
}

async function attempt(name, what) {
  if (!name.includes(only)) return;
  try {
    tell(...(await what(name)));
  } catch (trouble) {
    tell("failed", name, `${trouble.name}: ${String(trouble.message ?? trouble).slice(0, 600)}`);
  }
}

async function withClient(options, use) {
  const client = createClient({ url, ...options });
  try {
    return await use(client);
  } finally {
    await client.close();
  }
}

const labelOf = (name) => `node: ${name}: ${phase}`;

const inserting = (format, make, compression, settings) => (name) =>
  withClient(compression ? { compression: { request: compression } } : {}, async (client) => {
    const since = performance.now();
    await client.insert({ table, values: make(labelOf(name)), ...(format && { format }), columns, clickhouse_settings: settings });
    return ["inserted", name, `${Math.round(performance.now() - since)} ms`];
  });

const pinging = (how) => (name) =>
  withClient({}, async (client) => {
    const answer = await client.ping(how);
    if (!answer.success) throw answer.error;
    return ["done", name, ""];
  });

// The statement and its rows as one text in the body.
const command = (name) =>
  withClient({}, async (client) => {
    const values = rows(labelOf(name)).map((one) => `(${Object.entries(one).map(literal).join(", ")})`);
    const since = performance.now();
    await client.command({ query: `INSERT INTO ${table} (${columns.join(", ")}) VALUES ${values.join(", ")}` });
    return ["inserted", name, `${Math.round(performance.now() - since)} ms`];
  });

function literal([name, value]) {
  if (value === null) return "NULL";
  if (Array.isArray(value)) return array(value);
  if (typeof value === "number" || name === "big" || name === "small") return String(value);
  return `'${value.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}

const readingBack = (name) =>
  withClient({}, async (client) => {
    const query = `SELECT ${columns.join(", ")} FROM ${readTable} WHERE label = '${labelOf(name)}'`;
    const settings = { output_format_json_quote_64bit_integers: 1 };
    const ask = async () => (await client.query({ query, format: "JSONEachRow", clickhouse_settings: settings })).json();
    let found = await ask();
    for (let tries = 0; found.length === 0 && tries < 100; tries += 1) {
      await sleep(100); // Weir delivers a little after its answer
      found = await ask();
    }
    for (const one of found) assert.deepStrictEqual({ ...one, id: Number(one.id) }, row(labelOf(name), Number(one.id)));
    return ["read", name, found.length];
  });

await attempt("connect and ping", pinging());
await attempt("ping by SELECT", pinging({ select: true }));
for (const [name, [format, make]] of Object.entries(FORMATS)) await attempt(name, inserting(format, make));
for (const [coding, compression] of Object.entries(COMPRESSIONS)) {
  if (coding === "zstd" && !zlib.createZstdCompress) continue; // before Node 22.15
  for (const name of COMPRESSED) await attempt(`${name}, ${coding}`, inserting(...FORMATS[name], compression));
}
const settings = { async_insert: 1, wait_for_async_insert: 1, date_time_input_format: "best_effort" };
await attempt("JSONEachRow, async_insert", inserting("JSONEachRow", objects, undefined, settings));
await attempt("INSERT VALUES by command", command);
if (readTable) await attempt("JSONEachRow, array", readingBack);
console.log(`end\t${told}`);
