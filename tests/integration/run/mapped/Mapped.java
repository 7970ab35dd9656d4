import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;

/** A file that is mapped for reading and writing, and written and read by calls. */
public final class Mapped {
    private static void check(boolean holds, String what) {
        if (!holds) {
            throw new IllegalStateException(what);
        }
    }

    public static void main(String[] arguments) throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(arguments[0], "rw")) {
            file.setLength(1 << 20);
            FileChannel channel = file.getChannel();
            MappedByteBuffer map = channel.map(FileChannel.MapMode.READ_WRITE, 0, 1 << 20);
            MappedByteBuffer reads = channel.map(FileChannel.MapMode.READ_ONLY, 0, 1 << 20);
            long sum = 0;
            for (int at = 0; at < 1 << 20; at += 1000) {
                map.put(at, (byte) at);
                file.seek(at);
                check(file.readByte() == (byte) at, "read after put");
                file.seek(at + 1);
                file.writeByte(at / 256);
                check(map.get(at + 1) == (byte) (at / 256), "get after write");
                check(reads.getShort(at) == map.getShort(at), "a second mapping");
                sum += reads.getShort(at);
            }
            map.force();
            ByteBuffer all = ByteBuffer.allocate(1 << 20);
            check(channel.read(all, 0) == 1 << 20, "read of all");
            for (int at = 0; at < 1 << 20; at++) {
                check(all.get(at) == reads.get(at), "all");
            }
            System.out.println("mapped " + sum);
        }
    }
}
