//! AES-CMAC with 128-bit keys (RFC 4493), which SGX makes reports and keys with: std.crypto, exported to C (pal/crypto.h). Of the vector registers it uses
//! XMM alone.

const std = @import("std");
const Cmac = std.crypto.auth.cmac.CmacAes128;

comptime {
    @export(&aesCmac, .{ .name = "aes_cmac", .visibility = .hidden });
}

fn aesCmac(key: *const [16]u8, message: [*]const u8, length: usize, mac: *[16]u8) callconv(.c) void {
    Cmac.create(mac, message[0..length], key);
}
