import Foundation
import Platform
import StrictJSON
import Testing

/// Memory runs out at any point of an installation: the real kedged under RLIMIT_AS, from too little to be loaded on.
@Suite("kedged: too little memory", Needs.partitioner)
struct KedgedMemoryTests {
    private static let isNightly = ProcessInfo.processInfo.environment["KEDGE_NIGHTLY"] == "1"

    @Test("Whatever allocation fails, what runs is untouched, the reason is told, and the next install works")
    func pressure() throws {
        let gateway = try FieldGateway()
        let image = FieldGateway.image(megabytes: 3)
        let bundle = try gateway.build(FieldGateway.Release(images: [("rootfs", image)]))
        let slotA = try gateway.digest("rootfs", "a")
        var told = 0
        var limit = 0
        // KiB. The dynamic loader needs most of what a small limit gives.
        let step = Self.isNightly ? 128 : 1024
        for kibibytes in stride(from: 16384, to: 1 << 20, by: step) {
            let limited = try BuiltCommand("kedged", startedBy: ["prlimit", "--as=\(kibibytes * 1024)"])
            let outcome = try limited.run(
                ["--config", gateway.configuration, "install", bundle], in: gateway.directory.path)
            limit = kibibytes
            let place = "\(kibibytes) KiB: \(outcome.status) \(outcome.errors)"
            let record = try gateway.record()
            #expect(record["a"]?["state"]?.text == "good", "\(place)")
            #expect(try gateway.digest("rootfs", "a") == slotA, "\(place)")
            if outcome.status == 0 && !outcome.signaled { break }
            #expect(record["phase"]?.text != "trial" && record["active"]?.text == "a", "\(place)")
            // Before kedged begins the loader may end it, and the language's own runtime aborts: as good as SIGKILL.
            if outcome.signaled || outcome.errors.contains("error while loading shared libraries") { continue }
            #expect(outcome.status != 1, "\(place)")
            #expect(outcome.code != nil, "\(place)")
            told += 1
        }
        #expect(told > 0, "no limit up to \(limit) KiB was told")
        #expect(try gateway.record()["phase"]?.text == "trial")
        #expect(try gateway.holds("rootfs", "b", image))
        try gateway.powerOn()
        try gateway.works("run", "--once")
        #expect(try gateway.status()["phase"]?.text == "confirmed")
        print("MEMORY \(told) runs told that memory ran out; \(limit) KiB are enough")
    }
}
