/**
 * What went wrong with a key, for the page to put into words. `code` is one of
 * - "key.unsupported": this browser, or this page without https, has no WebCrypto with P-256;
 * - "key.storage": the browser refuses to keep the key (private window, storage blocked or full);
 * - "key.gone": the key was kept once and is no longer there;
 * - "key.mismatch": the certificate was issued for another key.
 */
export class KeyError extends Error {
  constructor(code, message, cause) {
    super(message, { cause });
    this.name = "KeyError";
    this.code = code;
  }
}
