// An HTTP server. With `handler` it does on SIGTERM what the documentation of Node.js tells.
const fs = require('fs');
const http = require('http');

const server = http.createServer((request, response) => {
  const isSlow = request.url === '/slow';
  const body = isSlow ? 'slow\n'.repeat(600) : 'hello\n';
  const answer = () => response.writeHead(200, { 'Content-Length': body.length }).end(body);
  if (isSlow) setTimeout(answer, 4000);
  else answer();
});

if (process.argv.includes('handler')) {
  process.on('SIGTERM', () => {
    fs.appendFileSync(__dirname + '/signals', 'got SIGTERM\n');
    server.close();
    server.closeIdleConnections();
  });
}
server.listen(8080, '0.0.0.0');
