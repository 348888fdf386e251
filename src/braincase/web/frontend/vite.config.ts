import { defineConfig } from "vite";
import { licences } from "./licences.ts";

/** Built into ../static, which the Python package carries and git ignores. */
export default defineConfig({
  base: "./",
  plugins: [licences()],
  resolve: {
    // NiiVue can read zarr; the page never does. Leave its 1.4 MB of WebAssembly codecs out.
    alias: [{ find: /^numcodecs\/\w+$/, replacement: `${import.meta.dirname}/src/viewer/no-codec.ts` }],
  },
  build: {
    outDir: "../static",
    emptyOutDir: true,
    target: "es2022",
    // Everything is a file of its own: a strict Content-Security-Policy has no place for data URLs.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1500,
  },
  // What the software is for stands beside the Python sources, for both.
  server: { fs: { allow: [".", "../../purpose.json"] }, proxy: { "/api": process.env["BRAINCASE_SERVICE"] ?? "http://127.0.0.1:8000" } },
});
