import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createServer, type TlsOptions, type TLSSocket } from 'node:tls';
import { AppError, messageOf } from '../../errors.js';
import type { Log } from '../log.js';

/** Paths of PEM files: the certificate, with those that lead to its issuer behind it, and its private key. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/** Who the server says it is. */
interface Identity {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly facts: { readonly subject: string; readonly valid_to: string };
}

/** Turns TCP connections into TLS ones. */
export interface SecureDoor {
  /** Takes over a connection of which nothing has been read, or whose bytes have been put back. */
  secure(socket: Socket): void;
  /**
   * Reads the files anew. New connections get the new certificate, open ones live on. When something is wrong with the files, all
   * stays as it is. The log tells either.
   */
  reload(): void;
}

export interface SecureDoorOptions {
  readonly files: TlsFiles;
  readonly log: Log;
  /** How long a handshake may take, in milliseconds. */
  readonly timeoutMs: number;
  /** Gets a connection when its handshake is done, and the protocol that both sides agreed on. */
  readonly onSecure: (socket: TLSSocket, protocol: 'http1' | 'http2') => void;
}

/**
 * The files of the two settings; undefined when neither is set. Throws `invalid_request` naming the setting when one is missing, cannot
 * be read or does not fit the other.
 */
export function tlsFilesOf(cert: string | undefined, key: string | undefined): TlsFiles | undefined {
  if (cert === undefined && key === undefined) return undefined;
  if (cert === undefined) throw bad('MUSTER_TLS_CERT', 'is needed where MUSTER_TLS_KEY is set');
  if (key === undefined) throw bad('MUSTER_TLS_KEY', 'is needed where MUSTER_TLS_CERT is set');
  const files = { cert, key };
  readIdentity(files);
  return files;
}

/** Throws what `tlsFilesOf` throws. */
export function createSecureDoor({ files, log, timeoutMs, onSecure }: SecureDoorOptions): SecureDoor {
  const identity = readIdentity(files);
  const server = createServer(
    { ...contextOf(identity), ALPNProtocols: ['h2', 'http/1.1'], handshakeTimeout: timeoutMs },
    (socket) => {
      // Costs the server far more than the caller, and HTTP/2 forbids it.
      socket.disableRenegotiation();
      onSecure(socket, socket.alpnProtocol === 'h2' ? 'http2' : 'http1');
    },
  );
  server.on('tlsClientError', (error, socket) => {
    log.debug('tls_handshake_failed', { address: socket.remoteAddress, reason: messageOf(error) });
    socket.destroy();
  });
  log.info('tls_loaded', identity.facts);

  return {
    secure(socket) {
      // As https has it; a caller who leaves during the handshake would else be waited for.
      socket.allowHalfOpen = false;
      // It never listens by itself.
      server.emit('connection', socket);
    },
    reload() {
      try {
        const renewed = readIdentity(files);
        server.setSecureContext(contextOf(renewed));
        log.info('tls_reloaded', renewed.facts);
      } catch (error) {
        log.error('tls_reload_failed', { message: messageOf(error) });
      }
    },
  };
}

function contextOf({ cert, key }: Identity): TlsOptions {
  return { cert, key, minVersion: 'TLSv1.2' };
}

function readIdentity(files: TlsFiles): Identity {
  const cert = read('MUSTER_TLS_CERT', files.cert);
  const key = read('MUSTER_TLS_KEY', files.key);
  const parsed = attempt('MUSTER_TLS_CERT', files.cert, 'holds no PEM certificate', () => new X509Certificate(cert));
  const privateKey = attempt('MUSTER_TLS_KEY', files.key, 'holds no PEM private key that needs no passphrase', () =>
    createPrivateKey(key),
  );
  if (!parsed.checkPrivateKey(privateKey)) {
    throw bad('MUSTER_TLS_KEY', `'${files.key}' is not the key of the certificate in '${files.cert}'`);
  }
  return { cert, key, facts: { subject: parsed.subject, valid_to: new Date(parsed.validTo).toISOString() } };
}

function read(setting: string, path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (error) {
    throw bad(setting, `'${path}' cannot be read: ${messageOf(error)}`, error);
  }
}

function attempt<T>(setting: string, path: string, lack: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw bad(setting, `'${path}' ${lack} (${messageOf(error)})`, error);
  }
}

function bad(setting: string, what: string, cause?: unknown): AppError {
  return new AppError('invalid_request', `${setting}: ${what}`, { cause });
}
