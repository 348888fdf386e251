/** The atlas's regions (Desikan-Killiany and FreeSurfer's subcortical labels) in Japanese, without sides. */

export const JAPANESE_REGIONS: Record<string, string> = {
  "3rd-ventricle": "第三脳室", "4th-ventricle": "第四脳室", accumbens: "側坐核", amygdala: "扁桃体",
  bankssts: "上側頭溝周囲皮質", "brain-stem": "脳幹", caudalanteriorcingulate: "前帯状回尾側部",
  caudalmiddlefrontal: "中前頭回尾側部", caudate: "尾状核", cerebellum: "小脳", "cerebellum-cortex": "小脳皮質",
  "cerebellum-white-matter": "小脳白質", "cerebral-white-matter": "大脳白質", "choroid-plexus": "脈絡叢",
  cingulate: "帯状回", "corpus-callosum": "脳梁", csf: "脳脊髄液", cuneus: "楔部", "deep-grey": "深部灰白質",
  entorhinal: "嗅内皮質", frontal: "前頭葉", frontalpole: "前頭極", fusiform: "紡錘状回", hippocampus: "海馬",
  "inf-lat-vent": "側脳室下角", "inferior-horn": "側脳室下角", "third-ventricle": "第三脳室",
  inferiorparietal: "下頭頂小葉", inferiortemporal: "下側頭回", insula: "島",
  isthmuscingulate: "帯状回峡", "lateral-ventricle": "側脳室", lateraloccipital: "外側後頭皮質",
  lateralorbitofrontal: "外側眼窩前頭皮質", lingual: "舌状回", "medial-temporal": "内側側頭葉",
  medialorbitofrontal: "内側眼窩前頭皮質", middletemporal: "中側頭回",
  "non-wm-hypointensities": "灰白質の低信号域", occipital: "後頭葉", "optic-chiasm": "視交叉",
  pallidum: "淡蒼球", paracentral: "中心傍小葉", parahippocampal: "海馬傍回", parietal: "頭頂葉",
  parsopercularis: "下前頭回弁蓋部", parsorbitalis: "下前頭回眼窩部", parstriangularis: "下前頭回三角部",
  pericalcarine: "鳥距溝周囲皮質", postcentral: "中心後回", posteriorcingulate: "後帯状回", precentral: "中心前回",
  precuneus: "楔前部", putamen: "被殻", rostralanteriorcingulate: "前帯状回吻側部",
  rostralmiddlefrontal: "中前頭回吻側部", superiorfrontal: "上前頭回", superiorparietal: "上頭頂小葉",
  superiortemporal: "上側頭回", supramarginal: "縁上回", temporal: "側頭葉", temporalpole: "側頭極",
  thalamus: "視床", transversetemporal: "横側頭回", "unnamed-cortex": "名称のない皮質", ventraldc: "腹側間脳",
  ventricles: "脳室", vessel: "血管", "wm-hypointensities": "白質の低信号域",
};
