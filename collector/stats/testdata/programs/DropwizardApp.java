import com.codahale.metrics.Gauge;
import com.codahale.metrics.MetricRegistry;
import com.codahale.metrics.json.MetricsModule;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.TimeUnit;

/** An application as Dropwizard's own library serves it: run with the port to listen on. */
public class DropwizardApp {
  public static void main(String[] args) throws Exception {
    MetricRegistry metrics = new MetricRegistry();
    metrics.counter("active").inc(3);
    metrics.counter("total").inc(9007199254740993L);
    metrics.register("jvm.vendor", (Gauge<String>) () -> "somebody");
    metrics.register("ratio", (Gauge<Double>) () -> Double.NaN);
    metrics.register("limit", (Gauge<Double>) () -> Double.POSITIVE_INFINITY);
    metrics.register("threads", (Gauge<Integer>) Thread::activeCount);
    metrics.register("tiny", (Gauge<Double>) () -> 2.5e-9);
    metrics.register("dead", (Gauge<String[]>) () -> new String[0]);
    metrics.register("bad", (Gauge<Integer>) () -> { throw new IllegalStateException("no"); });
    metrics.meter("logins").mark(10);
    for (int i = 1; i <= 100; i++) {
      metrics.histogram("sizes").update(i);
      metrics.timer("requests").update(i, TimeUnit.MILLISECONDS);
    }
    metrics.timer("never");
    ObjectMapper mapper = new ObjectMapper().registerModule(new MetricsModule(TimeUnit.SECONDS, TimeUnit.SECONDS, false));
    HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0])), 0);
    server.createContext("/metrics", exchange -> {
      byte[] body = mapper.writeValueAsBytes(metrics);
      exchange.getResponseHeaders().set("Content-Type", "application/json");
      exchange.sendResponseHeaders(200, body.length);
      exchange.getResponseBody().write(body);
      exchange.close();
    });
    server.start();
  }
}
