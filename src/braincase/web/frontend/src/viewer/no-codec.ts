/** Stands in for the zarr codecs that NiiVue would load for chunked images; the page has none. */

export default {
  fromConfig(): never {
    throw new Error("this page reads NIfTI only");
  },
};
