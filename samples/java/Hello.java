import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Threads, the garbage collector, and a null pointer, which the JVM notices by a page fault. */
public class Hello {
    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Integer>> results = new ArrayList<>();
        for (int task = 1; task <= 8; task++) {
            int count = task * 10_000;
            results.add(pool.submit(() -> String.join(",", java.util.Collections.nCopies(count, "x")).length()));
        }
        int total = 0;
        for (Future<Integer> result : results) {
            total += result.get();
        }
        pool.shutdown();
        try {
            results.set(0, null);
            results.get(0).get();
        } catch (NullPointerException expected) {
            System.out.println("Hello from Java: " + total + " characters");
        }
    }
}
