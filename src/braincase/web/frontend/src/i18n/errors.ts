/**
 * The service's errors in Japanese. The service speaks English; where its sentence holds a detail (what
 * was found in a scan, where a filter cannot be read) it is kept behind the Japanese one.
 */

import { language } from ".";

const WHOLE: Record<string, string> = {
  few_images: "通常のばらつきが分かりません。画像のある症例が少なすぎます。",
  no_controls: "年齢と性別の分かる健常例が少ないため、正常からの偏りを示せません。",
  no_age: "正常からの偏りを示すには、年齢と性別が必要です。",
  other_age: "この年齢・性別の健常例がないため、正常かどうかはここでは不明です。",
  needs_age: "この順位付けには、検索元の年齢と性別が必要です。",
  no_image: "この検索には比べる画像がありません。",
  no_model: "このサービスはモデルなしで動いているため、登録症例からのみ検索できます。",
  empty: "ファイルが空です。",
  slow: "送信が遅すぎるため中断しました。もう一度お試しください。",
  too_slow: "前処理に時間がかかりすぎたため中断しました。",
  worker_ended: "前処理が途中で終了しました。もう一度お試しください。",
  too_many: "要求が多すぎます。しばらくしてからお試しください。",
  queue_full: "順番待ちがいっぱいです。しばらくしてからお試しください。",
  disk: "サービスの保存領域が足りません。管理者にお知らせください。",
  fault: "サービスに不具合が起きました。管理者にお知らせください。",
  wrong_login: "ユーザー名またはパスワードが違います。",
  changed: "この症例は表示後に置き換えられました。検索し直して確認してから外してください。",
  no_study: "この検査は、このギャラリーの症例ではないか、ここには登録されていません。",
  role: "この操作をする権限がありません。",
};

const BEFORE: Record<string, string> = {
  scan_refused: "この画像は使えません。",
  no_scan: "画像として読めないファイルです。",
  too_large: "ファイルが大きすぎます。",
  usage: "指定を読み取れません。",
  not_found: "見つかりません。",
  too_few: "このギャラリーは小さすぎるため、この検索はできません。",
  other_model: "別のモデルで作られたデータです。",
};

/** The sentence to show for an error of the service. */
export function errorText(code: string, message: string): string {
  if (language.value === "en") return message;
  const before = BEFORE[code];
  return WHOLE[code] ?? (before ? `${before} ${message}` : message);
}
