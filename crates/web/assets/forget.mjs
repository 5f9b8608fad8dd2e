// The login page, the main screen and the first pages of 電子証明書取得: forgets the keys that nobody needs any more, for those
// who never come back to the completion screen. Somebody else's keys in the same browser are left alone.

import { forgetAllBut, forgetOlderThan } from "./key-store.mjs";

const { owner, renewal, keepDays } = document.getElementById("main").dataset;

try {
  if (owner) await forgetAllBut(renewal ? [renewal] : [], owner);
  if (keepDays) await forgetOlderThan(Number(keepDays) * 86_400_000);
} catch {
  // A browser that keeps nothing has nothing to forget.
}
