import { connectApis } from '../support/wire/connect-api.js';
import { grpcJsApis } from '../support/wire/grpc-js-api.js';
import { restApi } from '../support/wire/rest-api.js';
import { describeSameAnswers } from '../support/wire/same-answers.js';

describeSameAnswers([restApi, ...connectApis, ...grpcJsApis]);
