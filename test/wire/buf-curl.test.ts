import { bufCurlApis } from '../support/wire/buf-curl-api.js';
import { describeSameAnswers } from '../support/wire/same-answers.js';

// Apart from the other clients because a process per call takes its time.
describeSameAnswers(bufCurlApis);
