import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** Two servers of HTTP: the one of the JDK, with threads, and one of NIO. Servers PORT PORT. Prints the first. */
public class Servers {
    private static final int BACKLOG = 1024;
    private static final byte[] GREETING = "hello from inside\n".getBytes();
    private static final byte[] ANSWER = ("HTTP/1.1 200 OK\r\nContent-Length: 18\r\n\r\n" + new String(GREETING)).getBytes();

    public static void main(String[] arguments) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[0])), BACKLOG);
        server.createContext("/", exchange -> {
            boolean echo = exchange.getRequestURI().getPath().equals("/echo");
            byte[] body = echo ? exchange.getRequestBody().readAllBytes() : GREETING;
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.start();
        Selector selector = Selector.open();
        ServerSocketChannel listener = ServerSocketChannel.open();
        listener.bind(new InetSocketAddress("127.0.0.1", Integer.parseInt(arguments[1])), BACKLOG);
        listener.configureBlocking(false);
        listener.register(selector, SelectionKey.OP_ACCEPT);
        System.out.println(arguments[0]);
        for (;;) {
            selector.select(Servers::serve);
        }
    }

    private static void serve(SelectionKey key) {
        try {
            if (key.isAcceptable()) {
                SocketChannel client = ((ServerSocketChannel) key.channel()).accept();
                client.configureBlocking(false);
                client.register(key.selector(), SelectionKey.OP_READ, new StringBuilder());
                return;
            }
            SocketChannel client = (SocketChannel) key.channel();
            ByteBuffer buffer = ByteBuffer.allocate(4096);
            int count = client.read(buffer);
            if (count < 0) {
                client.close();
                return;
            }
            StringBuilder said = (StringBuilder) key.attachment();
            said.append(new String(buffer.array(), 0, count, StandardCharsets.ISO_8859_1));
            for (int end; (end = said.indexOf("\r\n\r\n")) >= 0; said.delete(0, end + 4)) {
                client.write(ByteBuffer.wrap(ANSWER));
            }
        } catch (IOException gone) {
            key.cancel();
            try {
                key.channel().close();
            } catch (IOException ignored) {
                // The client is gone, and its channel with it.
            }
        }
    }
}
