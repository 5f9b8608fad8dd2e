// Keeps the page's keys in IndexedDB, one per renewal, until the renewal ends: a reload, a second tab or a lost
// connection goes on with the same key and hands out the same file.
//
// A record is { keyPair, passphrase, owner, createdAt }: passphrase is null until it is set, owner is a word for the ID whose
// renewal it is (several people may share a browser), createdAt in milliseconds since 1970 (UTC).

import { KeyError } from "./key-error.mjs";

const DATABASE = "koshin";
const STORE = "keys";

/** The record of this renewal; if there is none, one around the key pair that `make` returns. All tabs get the same one. */
export async function getOrMake(id, make, owner) {
  const kept = await get(id);
  if (kept) return kept;
  // The key is made before the transaction: IndexedDB commits as soon as nothing is asked of it, so also during an await.
  // Another tab may be doing the same; the first to add wins, and the other throws its key away unused.
  const fresh = { keyPair: await make(), passphrase: null, owner, createdAt: Date.now() };
  return transact("readwrite", (store, answer) => {
    ask(store.get(id), (found) => {
      if (!found) store.add(fresh, id);
      answer(found ?? fresh);
    });
  });
}

/** The record, or null. */
export async function get(id) {
  return transact("readonly", (store, answer) => ask(store.get(id), (found) => answer(found ?? null)));
}

/** Keeps this passphrase unless one is kept already. Returns the one that is kept. "key.gone" without a record. */
export async function setPassphrase(id, text) {
  const kept = await transact("readwrite", (store, answer) => {
    ask(store.get(id), (found) => {
      if (found && found.passphrase === null) store.put({ ...found, passphrase: text }, id);
      answer(found ? (found.passphrase ?? text) : null);
    });
  });
  if (kept === null) throw new KeyError("key.gone", "this browser no longer has the key of this renewal");
  return kept;
}

/** Removes the record, if there is one. */
export async function remove(id) {
  await transact("readwrite", (store) => store.delete(id));
}

/** Removes all records of this owner but those of the given renewals: what remains of renewals that ended elsewhere. */
export async function forgetAllBut(ids, owner) {
  const wanted = new Set(ids);
  await forget((id, record) => record.owner === owner && !wanted.has(id));
}

/** Removes every record that was made more than so many milliseconds ago. */
export async function forgetOlderThan(age) {
  const oldest = Date.now() - age;
  await forget((_, record) => record.createdAt < oldest);
}

async function forget(isUnwanted) {
  await transact("readwrite", (store) => {
    ask(store.openCursor(), (cursor) => {
      if (!cursor) return;
      if (isUnwanted(cursor.key, cursor.value)) cursor.delete();
      cursor.continue();
    });
  });
}

/** Runs `work` in one transaction and resolves with what it answered, once that is on the disk and not before. */
async function transact(mode, work) {
  let database;
  try {
    // Opened anew each time: a connection kept open dies unseen when the user clears the site's data.
    database = await open();
    return await new Promise((resolve, reject) => {
      // "strict" waits for the disk. With the default a power cut may lose a key whose certificate is already issued.
      const transaction = database.transaction(STORE, mode, { durability: "strict" });
      let answered;
      transaction.oncomplete = () => resolve(answered);
      transaction.onabort = () => reject(transaction.error);
      work(transaction.objectStore(STORE), (value) => {
        answered = value;
      });
    });
  } catch (cause) {
    throw new KeyError("key.storage", "this browser does not let the page keep its key", cause);
  } finally {
    database?.close();
  }
}

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE);
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** Hands the result to `then` while the transaction is still open. A failed request aborts the transaction by itself. */
function ask(request, then) {
  request.onsuccess = () => then(request.result);
}
