/** Writes licences.txt beside the built page: the licence of every package that went into it. */

import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** Packages whose npm archive has no licence file, and where their notice lies instead. */
const NOTICES: Record<string, string> = { "@niivue/niivue": "notices/niivue.txt" };

function packageOf(module: string): string | null {
  const match = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(module.replaceAll("\\", "/"));
  return match?.[1] ?? null;
}

function noticeOf(root: string, name: string): string {
  const folder = join(root, "node_modules", name);
  const record = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as Record<string, string>;
  const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
  const own = NOTICES[name];
  const path = file ? join(folder, file) : own ? join(root, own) : "";
  const text = existsSync(path) ? readFileSync(path, "utf8").trim() : "";
  if (!text && !record["license"]) throw new Error(`${name} has no licence: it cannot go into the page`);
  return `${name} ${record["version"]} (${record["license"]})\n\n${text}`;
}

export function licences(): Plugin {
  let root = "";
  const names = new Set(["@fontsource-variable/inter"]);
  return {
    name: "licences",
    apply: "build",
    configResolved(config) {
      root = config.root;
    },
    generateBundle(_options, bundle) {
      for (const chunk of Object.values(bundle)) {
        const modules = chunk.type === "chunk" ? chunk.moduleIds : [];
        for (const module of modules) {
          const name = packageOf(module);
          if (name) names.add(name);
        }
      }
      const texts = [...names].sort().map((name) => noticeOf(root, name));
      this.emitFile({ type: "asset", fileName: "licences.txt", source: `${texts.join(`\n\n${"-".repeat(80)}\n\n`)}\n` });
    },
  };
}
