import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import forge from 'node-forge';
import type { TlsFiles } from '../../src/platform/http/tls.js';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority that nobody but the test knows. */
export interface Authority {
  /** Its own certificate in PEM, for clients to trust. */
  readonly ca: string;
  /** A certificate for this machine, told from others by its common name. */
  issue(commonName: string): Certificate;
}

export function createAuthority(): Authority {
  const name = [{ shortName: 'CN', value: 'Test authority' }];
  const own = keyPair();
  const extensions = [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, critical: true },
  ];
  const ca = sign({ publicKey: own.publicKey, subject: name, issuer: name, signer: own.privateKey, extensions });
  return {
    ca,
    issue(commonName) {
      const { publicKey, privateKey } = keyPair();
      const altNames = [
        { type: 2, value: 'localhost' },
        { type: 7, ip: '127.0.0.1' },
      ];
      const cert = sign({
        publicKey,
        subject: [{ shortName: 'CN', value: commonName }],
        issuer: name,
        signer: own.privateKey,
        extensions: [{ name: 'subjectAltName', altNames }],
      });
      return { cert, key: forge.pki.privateKeyToPem(privateKey) };
    },
  };
}

/** Writes the pair where a server looks for it. */
export async function writeCertificate(dir: string, { cert, key }: Certificate): Promise<TlsFiles> {
  const files = { cert: path.join(dir, 'cert.pem'), key: path.join(dir, 'key.pem') };
  await writeFile(files.cert, cert);
  await writeFile(files.key, key);
  return files;
}

interface Request {
  readonly publicKey: forge.pki.rsa.PublicKey;
  readonly subject: forge.pki.CertificateField[];
  readonly issuer: forge.pki.CertificateField[];
  readonly signer: forge.pki.rsa.PrivateKey;
  readonly extensions: unknown[];
}

const dayMs = 86_400_000;
let serial = 0;

function sign({ publicKey, subject, issuer, signer, extensions }: Request): string {
  const certificate = forge.pki.createCertificate();
  certificate.publicKey = publicKey;
  certificate.serialNumber = (serial += 1).toString(16).padStart(4, '0');
  certificate.validity.notBefore = new Date(Date.now() - dayMs);
  certificate.validity.notAfter = new Date(Date.now() + dayMs);
  certificate.setSubject(subject);
  certificate.setIssuer(issuer);
  certificate.setExtensions(extensions);
  certificate.sign(signer, forge.md.sha256.create());
  return forge.pki.certificateToPem(certificate);
}

/** Node makes them a hundred times faster. */
function keyPair(): forge.pki.rsa.KeyPair {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  return { publicKey: forge.pki.publicKeyFromPem(publicKey), privateKey: forge.pki.privateKeyFromPem(privateKey) };
}
