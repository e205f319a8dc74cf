run lambda { |env|
  body = "hello\n"
  if env['PATH_INFO'] == '/slow'
    sleep 4
    body = "slow\n" * 600
  end
  [200, { 'Content-Type' => 'text/plain', 'Content-Length' => body.bytesize.to_s }, [body]]
}
