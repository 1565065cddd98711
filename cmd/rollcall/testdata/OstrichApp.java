import com.twitter.ostrich.admin.AdminHttpService;
import com.twitter.ostrich.admin.RuntimeEnvironment;
import com.twitter.ostrich.stats.Stats;

/** An application as Ostrich's own library serves it: run with the port to listen on. */
public class OstrichApp {
  public static void main(String[] args) throws Exception {
    RuntimeEnvironment env = new RuntimeEnvironment(new OstrichApp());
    new AdminHttpService(Integer.parseInt(args[0]), 20, env).start();
    Stats.setLabel("version", "1.42.0");
    Stats.setGauge("pi", 3.25);
    for (int i = 0; ; i++) {
      Stats.incr("requests", 3);
      Stats.addMetric("latency_ms", 5 + i % 40);
      Thread.sleep(50);
    }
  }
}
