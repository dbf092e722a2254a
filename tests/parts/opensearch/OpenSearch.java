import org.codelibs.opensearch.runner.OpenSearchRunner;

/** One OpenSearch node on loopback: HTTP port and folder as arguments; runs until it is killed. */
public class OpenSearch {
    public static void main(String[] arguments) throws Exception {
        String port = arguments[0];
        String folder = arguments[1];
        OpenSearchRunner runner = new OpenSearchRunner();
        runner.onBuild((number, settings) -> {
            settings.put("network.host", "127.0.0.1");
            settings.put("http.port", port);
            settings.put("transport.port", "0");
            settings.put("discovery.type", "single-node");
            settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        });
        runner.build(OpenSearchRunner.newConfigs().basePath(folder).numOfNode(1).clusterName("part"));
        System.out.println("ready");
        Thread.currentThread().join();
    }
}
