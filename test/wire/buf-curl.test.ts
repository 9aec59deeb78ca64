import { bufCurlApis } from '../support/wire/buf-curl-api.js';
import { describeSameAnswers } from '../support/wire/same-answers.js';

// Apart from the other clients because a process per call takes its time.
// A process for each of all errors in one protocol has to do; other clients have them in all.
describeSameAnswers(bufCurlApis, ({ name }) => name === 'buf curl, grpc');
