import { unzipSync } from "fflate";
import { expect, it } from "vitest";
import { parcelOf } from "./folder";

const named = (path: string, text: string) => ({ path, file: new File([text], path.split("/").pop() ?? "") });

it("sends one file as it is", async () => {
  const parcel = await parcelOf([named("head.nii.gz", "x")], () => undefined);
  expect(parcel?.name).toBe("head.nii.gz");
});

it("zips a folder, with its paths and without an operating system's clutter", async () => {
  const shares: number[] = [];
  const parcel = await parcelOf(
    [named("series/1.dcm", "one"), named("series/2.dcm", "two"), named("series/.DS_Store", "no")],
    (share) => shares.push(share),
  );
  expect(parcel?.name).toBe("series.zip");
  const files = unzipSync(new Uint8Array(await (parcel?.blob ?? new Blob()).arrayBuffer()));
  expect(Object.keys(files)).toEqual(["series/1.dcm", "series/2.dcm"]);
  expect(new TextDecoder().decode(files["series/2.dcm"])).toBe("two");
  expect(shares).toEqual([0.5, 1]);
});

it("finds nothing to send in an empty folder", async () => {
  expect(await parcelOf([named("series/.DS_Store", "no")], () => undefined)).toBeNull();
});
