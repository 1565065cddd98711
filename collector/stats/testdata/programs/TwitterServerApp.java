import com.twitter.finagle.stats.Counter;
import com.twitter.finagle.stats.Stat;
import com.twitter.finagle.stats.StatsReceiver;
import com.twitter.server.AbstractTwitterServer;
import com.twitter.util.Await;

/** A twitter-server as its own library makes it: run with -admin.port=127.0.0.1:PORT. */
public class TwitterServerApp {
  public static void main(String[] args) {
    new Server().main(args);
  }

  public static class Server extends AbstractTwitterServer {
    @Override
    public void main() throws Throwable {
      StatsReceiver stats = statsReceiver().scope("srv").scope("http");
      Counter requests = stats.counter("requests");
      Stat latency = stats.stat("request_latency_ms");
      for (int i = 1; i <= 200; i++) {
        requests.incr();
        latency.add(i);
      }
      stats.counter("total").incr(9007199254740993L);
      Await.ready(adminHttpServer());
    }
  }
}
