import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicInteger;

/** An HTTP server of the JDK. With "hook" it stops well. */
public class S {
    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress(8080), 100);
        server.setExecutor(Executors.newCachedThreadPool());
        AtomicInteger underWay = new AtomicInteger();
        server.createContext("/", exchange -> {
            underWay.incrementAndGet();
            byte[] body = "hello\n".getBytes();
            if (exchange.getRequestURI().getPath().equals("/slow")) {
                try {
                    Thread.sleep(4000);
                } catch (InterruptedException interrupted) {
                    return;
                }
                body = "slow\n".repeat(600).getBytes();
            }
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
            underWay.decrementAndGet();
        });
        if (arguments.length > 0) {
            Runtime.getRuntime().addShutdownHook(new Thread(() -> {
                server.stop(underWay.get() == 0 ? 0 : 20); // idle, JDK 17 would wait the 20 s
                Runtime.getRuntime().halt(0); // else the exit code is 143
            }));
        }
        server.start();
    }
}
