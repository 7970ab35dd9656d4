//! The pass over a layer, for the host's Python (rootfs/native_scan.py): tar, hashes, Merkle trees, and a row for each member.
//!
//! The archive comes in pieces of any size. What not all readers read alike ends the pass, and the reference in Python takes over
//! from the beginning of that member; the digest of the archive is still computed here.

const std = @import("std");
const tar = @import("tar.zig");
const pax = @import("pax.zig");
const merkle = @import("merkle.zig");
const row = @import("row.zig");
const Buffer = @import("buffer.zig").Buffer;
const Output = @import("buffer.zig").Output;
const Content = @import("content.zig").Content;

const head_size = 64 << 10;
const max_extension_size = 1 << 20;
const keep_always_size = 64;
const keep_script_size = 16 << 10;
const keep_named_size = 64 << 10;
const max_interpreter_line = 256;
/// Bytes of strings that are written at once.
const heap_piece = 64 << 10;
const elf_magic = "\x7fELF";

const Failure = error{ Odd, OutOfMemory, WriteFailed };

const Stage = enum { header, data, padding, end_mark, done, odd };

/// A part of a file that may be an ELF file, in the latest piece of the archive.
const ElfPart = extern struct { offset: u64, size: u64, file_size: u64, first: u64 };

const Bytes = extern struct {
    data: ?[*]const u8 = null,
    size: usize = 0,

    fn of(bytes: []const u8) Bytes {
        return .{ .data = bytes.ptr, .size = bytes.len };
    }
};

/// What the caller sees; see `_Report` in native_scan.py.
const Report = extern struct {
    /// Bytes of rows and heap that are in their files.
    rows_size: u64 = 0,
    heap_size: u64 = 0,
    /// Parts of ELF files in the latest piece.
    elf_parts: Bytes = .{},
    /// The beginning of the member that is for another reader, as far as it was in earlier pieces.
    left_over: Bytes = .{},
    /// Where the rest of it begins in the latest piece.
    resume_at: u64 = 0,
    members: u64 = 0,
    content_size: u64 = 0,
    metadata_size: u64 = 0,
    merkle_size: u64 = 0,
    elf_files: u64 = 0,
    digest: [32]u8 = @splat(0),
};

/// See `_Options` in native_scan.py.
const Options = extern struct {
    descriptor: i32,
    rows_descriptor: i32,
    heap_descriptor: i32,
    merkle_start: u64,
    max_members: u64,
    max_content_size: u64,
    /// Names of files whose content is kept, and of folders, which end with a slash; each ends with a NUL.
    kept_names: Bytes,
};

const Scanner = struct {
    report: Report = .{},
    options: Options,
    stage: Stage = .header,
    content: Content = .{},
    output: Output,

    /// Headers of the current member, as far as they are not in one piece; `need` bytes of it are looked at next.
    group: Buffer = .{},
    record_at: usize = 0,
    need: usize = tar.record_size,
    in_extension: bool = false,
    /// How much of the rest of the latest piece went into the group, in the latest step.
    taken: usize = 0,

    member: row.Member = undefined,
    /// Where its header is in the latest piece, if it is there.
    header_at: ?usize = null,
    left: u64 = 0,
    padding: u64 = 0,
    head: Buffer = .{},
    is_elf: bool = false,

    rows: Output,
    strings: Output,
    /// Strings that are not in their file yet; rows that are made say where they are in here.
    heap: Buffer = .{},
    scratch: Buffer = .{},
    elf_parts: Buffer = .{},

    fn feed(scanner: *Scanner, data: []const u8) Failure!void {
        @setRuntimeSafety(true);
        scanner.elf_parts.shrink(0);
        scanner.header_at = null;
        var at: usize = 0;
        while (at < data.len) {
            const rest = data[at..];
            at += switch (scanner.stage) {
                .header => scanner.takeHeader(rest, at) catch |failure| {
                    if (failure == error.Odd) try scanner.giveUp(data, at);
                    return failure;
                },
                .data => try scanner.takeData(rest, at),
                .padding => scanner.takePadding(rest),
                .end_mark => scanner.takeEndMark(rest) catch |failure| {
                    if (failure == error.Odd) try scanner.giveUp(data, at);
                    return failure;
                },
                .done, .odd => skip: {
                    scanner.content.skip(rest);
                    break :skip rest.len;
                },
            };
        }
        if (scanner.stage == .data) {
            // If the archive ends here, the reference tells where.
            if (scanner.header_at) |start| try scanner.group.appendAll(data[start..][0..tar.record_size]);
        }
    }

    /// The archive has ended: was this a place for it?
    fn finish(scanner: *Scanner) Failure!void {
        if (scanner.stage == .data) scanner.heap.shrink(scanner.member.row.heap);
        try scanner.flush();
        const at_start = scanner.group.items.len == 0;
        switch (scanner.stage) {
            .padding, .done, .odd => {},
            .header => if (!at_start) return error.Odd,
            .end_mark => if (scanner.group.items.len != tar.record_size) return error.Odd,
            .data => {
                // The reference begins with this member.
                if (isFile(&scanner.member)) scanner.report.content_size -= scanner.member.row.size;
                return error.Odd;
            },
        }
    }

    fn giveUp(scanner: *Scanner, data: []const u8, at: usize) Failure!void {
        scanner.report.resume_at = at + scanner.taken;
        scanner.content.skip(data[at + scanner.taken ..]);
        scanner.stage = .odd;
        try scanner.flush();
    }

    fn flush(scanner: *Scanner) Failure!void {
        try scanner.flushHeap();
        inline for (.{ &scanner.output, &scanner.rows, &scanner.strings }) |output| try output.flush();
    }

    fn flushHeap(scanner: *Scanner) Failure!void {
        try scanner.strings.writeAt(scanner.report.heap_size, scanner.heap.items);
        scanner.report.heap_size += scanner.heap.items.len;
        scanner.heap.shrink(0);
    }

    fn takeHeader(scanner: *Scanner, rest: []const u8, at: usize) Failure!usize {
        @setRuntimeSafety(true);
        scanner.taken = 0;
        if (scanner.group.items.len == 0 and rest.len >= tar.record_size) {
            const record = rest[0..tar.record_size];
            if (!tar.isExtension(record) and !tar.isZero(record)) {
                try scanner.begin(record, &.{});
                scanner.content.skip(record);
                scanner.startContent();
                scanner.header_at = if (scanner.stage == .data) at else null;
                if (scanner.stage != .data) try scanner.endEmpty();
                return tar.record_size;
            }
        }
        const size = try scanner.gather(rest);
        if (scanner.group.items.len < scanner.need) return size;
        if (scanner.in_extension) {
            scanner.nextRecord();
            return size;
        }
        const record = scanner.group.items[scanner.record_at..][0..tar.record_size];
        if (tar.isZero(record)) {
            if (scanner.record_at != 0) return error.Odd;
            scanner.need = 2 * tar.record_size;
            scanner.stage = .end_mark;
            return size;
        }
        if (tar.isExtension(record)) {
            var room: tar.Room = undefined;
            const header = try tar.parse(record, &room);
            const need = scanner.need + pax.padded(@min(header.size, max_extension_size));
            const is_too_long = header.size > max_extension_size or need > max_extension_size;
            if (header.kind == tar.Kind.pax_global or is_too_long) return error.Odd;
            scanner.need = need;
            scanner.in_extension = true;
            if (header.size == 0) scanner.nextRecord();
            return size;
        }
        try scanner.begin(record, scanner.group.items[0..scanner.record_at]);
        scanner.startContent();
        if (scanner.stage != .data) try scanner.endEmpty();
        return size;
    }

    fn nextRecord(scanner: *Scanner) void {
        scanner.record_at = scanner.need;
        scanner.need += tar.record_size;
        scanner.in_extension = false;
    }

    /// Moves bytes into the group, up to what it needs.
    fn gather(scanner: *Scanner, rest: []const u8) Failure!usize {
        @setRuntimeSafety(true);
        const size = @min(rest.len, scanner.need - scanner.group.items.len);
        try scanner.group.appendAll(rest[0..size]);
        scanner.content.skip(rest[0..size]);
        scanner.taken = size;
        return size;
    }

    fn takeEndMark(scanner: *Scanner, rest: []const u8) Failure!usize {
        @setRuntimeSafety(true);
        const size = try scanner.gather(rest);
        if (scanner.group.items.len == scanner.need) {
            if (!tar.isZero(scanner.group.items[tar.record_size..][0..tar.record_size])) return error.Odd;
            scanner.clearGroup();
            scanner.stage = .done;
        }
        return size;
    }

    fn clearGroup(scanner: *Scanner) void {
        scanner.group.shrink(0);
        scanner.record_at = 0;
        scanner.need = tar.record_size;
        scanner.in_extension = false;
    }

    /// Reads the headers of a member.
    fn begin(scanner: *Scanner, record: tar.Record, group: []const u8) Failure!void {
        @setRuntimeSafety(true);
        const report = &scanner.report;
        if (report.members == scanner.options.max_members) return error.Odd;
        const member = try row.make(record, group, report.members, &scanner.heap, &scanner.scratch);
        if (isFile(&member) and member.row.size > scanner.options.max_content_size -| report.content_size) {
            scanner.heap.shrink(member.row.heap);
            return error.Odd;
        }
        scanner.member = member;
    }

    /// Goes on to what follows the headers.
    fn startContent(scanner: *Scanner) void {
        const member = &scanner.member;
        scanner.left = member.stored;
        scanner.padding = pax.padded(member.stored) - member.stored;
        scanner.is_elf = false;
        scanner.head.shrink(0);
        if (isFile(member)) {
            scanner.report.content_size += member.row.size;
            member.row.merkle_offset = scanner.report.merkle_size;
            member.row.data_offset = scanner.content.archive_size;
            scanner.content.begin(member.row.size, scanner.options.merkle_start + scanner.report.merkle_size);
        }
        scanner.stage = if (member.stored != 0) .data else .header;
    }

    fn endEmpty(scanner: *Scanner) Failure!void {
        try scanner.end(&.{});
        scanner.clearGroup();
    }

    fn takeData(scanner: *Scanner, rest: []const u8, at: usize) Failure!usize {
        @setRuntimeSafety(true);
        const size: usize = @intCast(@min(rest.len, scanner.left));
        const data = rest[0..size];
        const is_first = scanner.left == scanner.member.stored;
        scanner.left -= size;
        if (isFile(&scanner.member)) {
            try scanner.content.take(data, &scanner.output);
            if (is_first) {
                const known = @min(size, elf_magic.len);
                scanner.is_elf = scanner.member.stored >= elf_magic.len and std.mem.eql(u8, data[0..known], elf_magic[0..known]);
            }
            if (scanner.is_elf) {
                const part: ElfPart = .{
                    .offset = at,
                    .size = size,
                    .file_size = scanner.member.stored,
                    .first = @intFromBool(is_first),
                };
                try scanner.elf_parts.appendAll(std.mem.asBytes(&part));
            }
            if (!(is_first and scanner.left == 0)) {
                try scanner.head.appendAll(data[0..@min(size, head_size - scanner.head.items.len)]);
            }
        } else scanner.content.skip(data);
        if (scanner.left == 0) {
            try scanner.end(if (is_first) data[0..@min(size, head_size)] else scanner.head.items);
            scanner.clearGroup();
            scanner.header_at = null;
            scanner.stage = if (scanner.padding != 0) .padding else .header;
        }
        return size;
    }

    fn takePadding(scanner: *Scanner, rest: []const u8) usize {
        @setRuntimeSafety(true);
        const size: usize = @intCast(@min(rest.len, scanner.padding));
        scanner.content.skip(rest[0..size]);
        scanner.padding -= size;
        if (scanner.padding == 0) scanner.stage = .header;
        return size;
    }

    /// Writes the row of a member; `head` is the beginning of its content, or all.
    fn end(scanner: *Scanner, head: []const u8) Failure!void {
        @setRuntimeSafety(true);
        const member = &scanner.member;
        const report = &scanner.report;
        if (isFile(member)) {
            const hashes = try scanner.content.finish(&scanner.output);
            member.row.sha256 = hashes.sha256;
            member.row.verity = hashes.verity;
            report.merkle_size += merkle.treeSize(member.row.size);
            if (scanner.is_elf and isElf(head)) {
                report.elf_files += 1;
                member.row.elf = @intCast(report.elf_files);
            }
            const line = interpreterLine(head);
            try scanner.heap.appendAll(line);
            member.row.line_size = @intCast(line.len);
            if (scanner.isKept(line)) {
                try scanner.heap.appendAll(head);
                member.row.content_size = @intCast(head.len);
                member.row.has_content = 1;
            }
        }
        report.members += 1;
        report.metadata_size += member.names_size + member.xattrs_size + member.row.content_size;
        member.row.heap += report.heap_size;
        try scanner.rows.writeAt(report.rows_size, std.mem.asBytes(&member.row));
        report.rows_size += @sizeOf(row.Row);
        if (scanner.heap.items.len >= heap_piece) try scanner.flushHeap();
    }

    fn isKept(scanner: *const Scanner, line: []const u8) bool {
        @setRuntimeSafety(true);
        const size = scanner.member.row.size;
        if (size <= keep_always_size or (size <= keep_script_size and startsShell(line))) return true;
        if (size > keep_named_size) return false;
        const path = scanner.heap.items[scanner.member.row.heap..][0..scanner.member.row.path_size];
        var names = std.mem.tokenizeScalar(u8, scanner.options.kept_names.data.?[0..scanner.options.kept_names.size], 0);
        while (names.next()) |name| {
            if (name[name.len - 1] == '/' and std.mem.startsWith(u8, path, name)) return true;
            if (std.mem.eql(u8, path, name)) return true;
        }
        return false;
    }

    fn publish(scanner: *Scanner) void {
        const report = &scanner.report;
        report.elf_parts = .of(scanner.elf_parts.items);
        report.left_over = .of(scanner.group.items);
    }

    fn code(scanner: *const Scanner, failure: Failure) c_int {
        return switch (failure) {
            error.Odd => 1,
            error.WriteFailed => -@max(scanner.output.errno, scanner.rows.errno, scanner.strings.errno),
            error.OutOfMemory => -@as(c_int, @intFromEnum(std.os.linux.E.NOMEM)),
        };
    }
};

fn isFile(member: *const row.Member) bool {
    return member.row.kind == row.Kind.regular;
}

/// Tells whether elf.py finds anything in a file.
fn isElf(head: []const u8) bool {
    @setRuntimeSafety(true);
    const little_endian = 1;
    if (head.len < 52 or !std.mem.startsWith(u8, head, elf_magic) or head[5] != little_endian) return false;
    return head[4] == 1 or (head[4] == 2 and head.len >= 58);
}

/// Returns the line after `#!` as the kernel reads it.
fn interpreterLine(head: []const u8) []const u8 {
    @setRuntimeSafety(true);
    if (!std.mem.startsWith(u8, head, "#!")) return &.{};
    const line = std.mem.sliceTo(head[2..@min(head.len, max_interpreter_line)], '\n');
    return std.mem.trim(u8, std.mem.sliceTo(line, 0), " \t");
}

/// Tells whether a word of the line ends with "sh".
fn startsShell(line: []const u8) bool {
    @setRuntimeSafety(true);
    var words = std.mem.tokenizeAny(u8, line, " \t");
    while (words.next()) |word| {
        if (std.mem.endsWith(u8, word, "sh")) return true;
    }
    return false;
}

extern fn calloc(count: usize, size: usize) ?*Scanner;
extern fn free(memory: ?*anyopaque) void;

/// Returns a scanner; null: there is no memory.
export fn enclavize_scan_new(options: *const Options) ?*Scanner {
    const scanner = calloc(1, @sizeOf(Scanner)) orelse return null;
    scanner.* = .{
        .options = options.*,
        .output = .{ .descriptor = options.descriptor, .position = options.merkle_start },
        .rows = .{ .descriptor = options.rows_descriptor, .position = 0 },
        .strings = .{ .descriptor = options.heap_descriptor, .position = 0 },
    };
    return scanner;
}

/// Takes the next piece. Returns 0; 1 if another reader has to go on; or an errno, negative.
export fn enclavize_scan_feed(scanner: *Scanner, data: [*]const u8, size: usize) c_int {
    defer scanner.publish();
    scanner.feed(data[0..size]) catch |failure| return scanner.code(failure);
    return 0;
}

/// Ends the archive, and computes its digest. Returns the same.
export fn enclavize_scan_finish(scanner: *Scanner) c_int {
    defer scanner.publish();
    scanner.report.digest = scanner.content.archiveDigest();
    scanner.finish() catch |failure| return scanner.code(failure);
    return 0;
}

export fn enclavize_scan_report(scanner: *const Scanner) *const Report {
    return &scanner.report;
}

export fn enclavize_scan_free(scanner: *Scanner) void {
    const buffers = .{ &scanner.group, &scanner.head, &scanner.heap, &scanner.scratch, &scanner.elf_parts };
    inline for (buffers) |buffer| buffer.deinit();
    inline for (.{ &scanner.output, &scanner.rows, &scanner.strings }) |output| output.waiting.deinit();
    scanner.content.tree.above.deinit();
    free(scanner);
}

/// Where safety is on, an access out of bounds stops at once; nothing else can panic.
pub const panic = std.debug.no_panic;
