import { type DescEnum, type DescExtension, type DescFile, type DescService, toBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { ServerReflection } from '../../../gen/grpc/reflection/v1/reflection_pb.js';
import { ServerReflection as ServerReflectionAlpha } from '../../../gen/grpc/reflection/v1alpha/reflection_pb.js';
import { type Service, service } from './methods.js';

interface Question {
  readonly host: string;
  readonly fileByFilename?: string;
  readonly fileContainingSymbol?: string;
  readonly fileContainingExtension?: { readonly containingType: string; readonly extensionNumber: number };
  readonly allExtensionNumbersOfType?: string;
  readonly listServices?: string;
}

/** gRPC's code for what there is not, and for a question that is none. */
const codes = { notFound: 5, invalidArgument: 3 } as const;

/** What `createReflectionRpc` serves, by full name. */
export const reflectionNames: readonly string[] = [ServerReflection.typeName, ServerReflectionAlpha.typeName];

/**
 * gRPC server reflection, v1 and v1alpha, which differ by their package alone: the descriptors of the services given, and of
 * themselves, as they were generated.
 */
export function createReflectionRpc(services: readonly DescService[]): readonly Service[] {
  const all = [...services, ServerReflection, ServerReflectionAlpha];
  const catalog = createCatalog(all.map(({ file }) => file));
  const names = all.map(({ typeName }) => typeName).sort();

  function answerTo(question: Question): object {
    const { fileByFilename, fileContainingSymbol, fileContainingExtension, allExtensionNumbersOfType } = question;
    if (fileByFilename !== undefined) return files(catalog.files.get(fileByFilename), fileByFilename);
    if (fileContainingSymbol !== undefined) {
      return files(catalog.symbols.get(fileContainingSymbol), fileContainingSymbol);
    }
    if (fileContainingExtension !== undefined) {
      const { containingType, extensionNumber } = fileContainingExtension;
      const name = `${containingType} ${extensionNumber}`;
      return files(catalog.extensions.get(containingType)?.get(extensionNumber), name);
    }
    if (allExtensionNumbersOfType !== undefined) {
      if (!catalog.symbols.has(allExtensionNumbersOfType)) return unknown(allExtensionNumbersOfType);
      const extensionNumber = [...(catalog.extensions.get(allExtensionNumbersOfType)?.keys() ?? [])];
      return { allExtensionNumbersResponse: { baseTypeName: allExtensionNumbersOfType, extensionNumber } };
    }
    if (question.listServices !== undefined)
      return { listServicesResponse: { service: names.map((name) => ({ name })) } };
    return { errorResponse: { errorCode: codes.invalidArgument, errorMessage: 'message_request: is not set' } };
  }

  const handlers = {
    async *serverReflectionInfo(questions: AsyncIterable<Question>) {
      for await (const question of questions) {
        yield { validHost: question.host, originalRequest: question, ...answerTo(question) };
      }
    },
  };
  return [service(ServerReflection, handlers), service(ServerReflectionAlpha, handlers)];
}

function files(file: DescFile | undefined, name: string): object {
  if (file === undefined) return unknown(name);
  const bytes = withImports(file).map(({ proto }) => toBinary(FileDescriptorProtoSchema, proto));
  return { fileDescriptorResponse: { fileDescriptorProto: bytes } };
}

function unknown(name: string): object {
  return { errorResponse: { errorCode: codes.notFound, errorMessage: `There is no ${name.slice(0, 200)}.` } };
}

/** The file and all that it imports, each once and before what it imports itself. */
function withImports(file: DescFile): readonly DescFile[] {
  const visited = new Set<DescFile>();
  const done: DescFile[] = [];
  const visit = (each: DescFile): void => {
    if (visited.has(each)) return;
    visited.add(each);
    each.dependencies.forEach(visit);
    done.push(each);
  };
  visit(file);
  return done.toReversed();
}

interface Catalog {
  /** By the name of a proto file. */
  readonly files: ReadonlyMap<string, DescFile>;
  /** By the full names of what they declare. */
  readonly symbols: ReadonlyMap<string, DescFile>;
  /** By the extended message, and number. */
  readonly extensions: ReadonlyMap<string, ReadonlyMap<number, DescFile>>;
}

function createCatalog(roots: readonly DescFile[]): Catalog {
  const files = new Map<string, DescFile>();
  const symbols = new Map<string, DescFile>();
  const extensions = new Map<string, Map<number, DescFile>>();
  for (const file of new Set(roots.flatMap(withImports))) {
    files.set(`${file.name}.proto`, file);
    const declare = (name: string): void => void symbols.set(name, file);
    const declareEnum = ({ typeName, values }: DescEnum): void => {
      declare(typeName);
      // Values are named beside their enum, not below it.
      const scope = typeName.slice(0, typeName.lastIndexOf('.') + 1);
      for (const { name } of values) declare(`${scope}${name}`);
    };
    const declareExtension = ({ typeName, extendee, number }: DescExtension): void => {
      declare(typeName);
      const numbers = extensions.get(extendee.typeName) ?? new Map<number, DescFile>();
      extensions.set(extendee.typeName, numbers.set(number, file));
    };
    const messages = [...file.messages];
    for (let message = messages.pop(); message !== undefined; message = messages.pop()) {
      declare(message.typeName);
      for (const { name } of [...message.fields, ...message.oneofs]) declare(`${message.typeName}.${name}`);
      message.nestedEnums.forEach(declareEnum);
      message.nestedExtensions.forEach(declareExtension);
      messages.push(...message.nestedMessages);
    }
    file.enums.forEach(declareEnum);
    file.extensions.forEach(declareExtension);
    for (const each of file.services) {
      declare(each.typeName);
      for (const { name } of each.methods) declare(`${each.typeName}.${name}`);
    }
  }
  return { files, symbols, extensions };
}
