/** What a radiologist drops or chooses, as one file to send: a folder of DICOM becomes one zip. */

import { Zip, ZipPassThrough } from "fflate";

export interface NamedFile {
  path: string;
  file: File;
}
export interface Parcel {
  blob: Blob;
  name: string;
  files: number;
}

/** Files that operating systems add and no scanner wrote. */
const CLUTTER = /(^|\/)(\.DS_Store|Thumbs\.db|desktop\.ini|__MACOSX\/.*|\._.*)$/i;

/** All files below what was dropped, folders included. */
export async function droppedFiles(items: DataTransferItemList): Promise<NamedFile[]> {
  // The list dies with the event, so take every entry before the first await. What was not dragged from a disk has none.
  const dropped = [...items].map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
  const files = await Promise.all(
    dropped.map(({ entry, file }) => (entry ? filesBelow(entry) : file ? chosenFile(file) : [])),
  );
  return files.flat();
}

async function filesBelow(entry: FileSystemEntry): Promise<NamedFile[]> {
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) =>
      (entry as FileSystemFileEntry).file(resolve, reject),
    );
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const children: FileSystemEntry[] = [];
  for (;;) {
    // A reader gives at most 100 entries at a time.
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) =>
      reader.readEntries(resolve, reject),
    );
    if (some.length === 0) break;
    children.push(...some);
  }
  return (await Promise.all(children.map(filesBelow))).flat();
}

const chosenFile = (file: File): NamedFile[] => [{ path: file.webkitRelativePath || file.name, file }];

export const chosenFiles = (list: FileList): NamedFile[] => [...list].flatMap(chosenFile);

/** One file goes as it is; several are stored in a zip, uncompressed: the network is the loopback. */
export async function parcelOf(
  files: NamedFile[],
  onProgress: (share: number) => void,
): Promise<Parcel | null> {
  const real = files.filter(({ path, file }) => !CLUTTER.test(path) && file.size > 0);
  const [first] = real;
  if (!first) return null;
  if (real.length === 1) return { blob: first.file, name: first.file.name, files: 1 };
  const folder = first.path.split("/")[0] ?? "scan";
  return { blob: await zipped(real, onProgress), name: `${folder}.zip`, files: real.length };
}

async function zipped(files: NamedFile[], onProgress: (share: number) => void): Promise<Blob> {
  const parts: BlobPart[] = [];
  let failed: Error | null = null;
  const zip = new Zip((error, chunk) => {
    if (error) failed = error;
    else parts.push(chunk as Uint8Array<ArrayBuffer>);
  });
  for (const [done, { path, file }] of files.entries()) {
    const entry = new ZipPassThrough(path);
    zip.add(entry);
    entry.push(new Uint8Array(await file.arrayBuffer()), true);
    onProgress((done + 1) / files.length);
  }
  zip.end();
  if (failed) throw failed as Error;
  return new Blob(parts, { type: "application/zip" });
}
