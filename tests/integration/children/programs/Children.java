import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.ProcessBuilder.Redirect;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;

/** Children by ProcessBuilder: the same lines anywhere. The property jdk.lang.Process.launchMechanism says how. */
public class Children {
    static String read(InputStream stream) throws IOException {
        return new String(stream.readAllBytes());
    }

    static void streams() throws Exception {
        Process upper = new ProcessBuilder("tr", "a-z", "A-Z").start();
        byte[] data = "megabyte".repeat(1 << 17).getBytes();
        Thread writer = new Thread(() -> {
            try (var in = upper.getOutputStream()) {
                in.write(data);
            } catch (IOException error) {
                System.out.println(error);
            }
        });
        writer.start();
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        upper.getInputStream().transferTo(all);
        System.out.println("pipes " + all.size() + " " + all.toString().substring(0, 8) + " " + upper.waitFor());
        Process both = new ProcessBuilder("sh", "-c", "echo out; echo err >&2; exit 3").start();
        System.out.println("two pipes " + read(both.getInputStream()) + read(both.getErrorStream()) + both.waitFor());
        Process merged = new ProcessBuilder("sh", "-c", "echo out; echo err >&2").redirectErrorStream(true).start();
        System.out.println("one pipe " + read(merged.getInputStream()) + merged.waitFor());
        new ProcessBuilder("echo", "inherited").inheritIO().start().waitFor();
        File file = File.createTempFile("children", "");
        new ProcessBuilder("echo", "to a file").redirectOutput(file).start().waitFor();
        new ProcessBuilder("echo", "and more").redirectOutput(Redirect.appendTo(file)).start().waitFor();
        System.out.println("file " + Files.readAllLines(file.toPath()));
        Process counter = new ProcessBuilder("wc", "-l").redirectInput(file).start();
        System.out.println("from a file " + read(counter.getInputStream()).trim());
        List<Process> pipeline = ProcessBuilder.startPipeline(List.of(
            new ProcessBuilder("seq", "1", "5000"), new ProcessBuilder("sort", "-rn"), new ProcessBuilder("head", "-1")));
        System.out.println("pipeline " + read(pipeline.get(2).getInputStream()).trim() + " " + pipeline.get(2).waitFor());
    }

    static void ends() throws Exception {
        for (String script : List.of("exit 0", "exit 7", "kill -TERM $$", "kill -KILL $$")) {
            System.out.println(script + " " + new ProcessBuilder("sh", "-c", script).start().waitFor());
        }
        Process sleeper = new ProcessBuilder("sleep", "100").start();
        System.out.println("timed out " + sleeper.waitFor(50, TimeUnit.MILLISECONDS) + " " + sleeper.isAlive());
        sleeper.destroy();
        System.out.println("destroyed " + sleeper.waitFor());
        Process killed = new ProcessBuilder("sleep", "100").start();
        System.out.println("killed " + killed.destroyForcibly().waitFor() + " " + killed.onExit().get().exitValue());
        for (String name : List.of("/none", "/etc/passwd")) {
            try {
                new ProcessBuilder(name).start();
            } catch (IOException error) {
                System.out.println(error.getMessage());
            }
        }
        try {
            new ProcessBuilder("true").directory(new File("/none")).start();
        } catch (IOException error) {
            System.out.println(error.getMessage());
        }
    }

    static void inheritance() throws Exception {
        ProcessBuilder builder = new ProcessBuilder("sh", "-c", "echo $ONLY $(pwd)").directory(new File("/usr"));
        builder.environment().put("ONLY", "this one");
        System.out.println("environment " + read(builder.start().getInputStream()).trim());
        Process open = new ProcessBuilder("sh", "-c", "ls /proc/self/fd | wc -l").start();
        System.out.println("descriptors " + read(open.getInputStream()).trim());
        Process child = new ProcessBuilder("sh", "-c", "echo $$; exec cat").start();
        byte[] pid = child.getInputStream().readNBytes(String.valueOf(child.pid()).length());
        System.out.println("pid " + (Long.parseLong(new String(pid)) == child.pid()) + " " + child.isAlive());
        child.getOutputStream().close();
        System.out.println("ended " + child.waitFor() + " " + Runtime.getRuntime().exec("true").waitFor());
    }

    static void crowd() throws Exception {
        var pool = Executors.newFixedThreadPool(8);
        List<Future<Integer>> codes = new ArrayList<>();
        for (int number = 0; number < 24; number++) {
            String script = "exit " + number;
            codes.add(pool.submit(() -> new ProcessBuilder("sh", "-c", script).start().waitFor()));
        }
        List<Integer> found = new ArrayList<>();
        for (Future<Integer> code : codes) {
            found.add(code.get());
        }
        System.out.println("crowd " + found);
        pool.shutdown();
    }

    public static void main(String[] arguments) throws Exception {
        streams();
        ends();
        inheritance();
        crowd();
    }
}
