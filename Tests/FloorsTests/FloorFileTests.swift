import Foundation
import Platform
import Testing

@testable import Floors

@Suite("The floor in two files")
struct FloorFileTests {
    private let directory: FloorDirectory
    private let store: FloorFile

    init() throws {
        directory = try FloorDirectory()
        store = FloorFile(directory: directory.path)
    }

    private func bytes(_ index: Int) throws -> [UInt8] { try FileSystem.read(directory("floor.\(index)"), limit: 4096) }
    private func damage(_ index: Int, at place: Int = 20) throws {
        var bytes = try bytes(index)
        bytes[place] ^= 1
        try FileSystem.replace(directory("floor.\(index)"), with: bytes)
    }

    @Test("It starts at 0, rises, never falls by raising, and both copies have it")
    func raising() throws {
        #expect(try store.read() == 0)
        #expect(try store.raise(to: 0) == 0)
        #expect(try FileSystem.list(directory.path).isEmpty)
        #expect(try store.raise(to: 4) == 4)
        #expect(try store.raise(to: 3) == 4)
        #expect(try FloorFile(directory: directory.path).read() == 4)
        #expect(try bytes(0) == bytes(1))
        #expect(try FileSystem.mode(of: directory("floor.0")) & 0o777 == 0o600)
        #expect(try store.raise(to: .max) == .max)
        #expect(try store.read() == .max)
    }

    @Test("Raising to what it holds writes nothing")
    func idempotent() throws {
        _ = try store.raise(to: 4)
        let before = try bytes(0)
        #expect(try store.raise(to: 4) == 4)
        #expect(try bytes(0) == before)
    }

    @Test("An authorised downgrade lowers it, and only what is higher")
    func lowering() throws {
        try store.lower(to: 3)
        #expect(try store.read() == 0)
        _ = try store.raise(to: 7)
        try store.lower(to: 9)
        #expect(try store.read() == 7)
        try store.lower(to: 2)
        #expect(try store.read() == 2)
    }

    @Test("One damaged or lost copy costs nothing, whichever bit it is", arguments: [0, 8, 16, 20, 24, 55])
    func oneCopy(place: Int) throws {
        for index in 0...1 {
            _ = try store.raise(to: 5)
            try damage(index, at: place)
            #expect(try store.read() == 5)
            #expect(try store.raise(to: 6) == 6)
            try FileSystem.remove(directory("floor.\(index)"))
            #expect(try store.read() == 6)
            #expect(try store.raise(to: 7) == 7)
            #expect(try bytes(0) == bytes(1))
            try store.lower(to: 0)
        }
    }

    @Test("With both copies damaged it says so and does not guess, until it is raised again")
    func bothCopies() throws {
        _ = try store.raise(to: 5)
        try damage(0)
        try damage(1)
        #expect { try store.read() } throws: { ($0 as? FloorError)?.code == "floor.damaged" }
        #expect { try store.lower(to: 1) } throws: { ($0 as? FloorError)?.code == "floor.damaged" }
        #expect(try store.raise(to: 4) == 4)
        #expect(try store.read() == 4)
    }

    @Test("A first raise that the power cut at any byte counts as none")
    func tornFirst() throws {
        _ = try store.raise(to: 5)
        let whole = try bytes(0)
        try FileSystem.remove(directory("floor.1"))
        for length in 0..<whole.count {
            try FileSystem.replace(directory("floor.0"), with: Array(whole[..<length]))
            #expect(try store.read() == 0, "\(length) bytes")
        }
    }

    @Test("A later raise that the power cut at any byte of its first copy leaves the former floor")
    func tornLater() throws {
        _ = try store.raise(to: 5)
        let former = try bytes(0)
        _ = try store.raise(to: 6)
        let next = try bytes(0)
        // The copy that is overwritten first holds part of the new bytes, the other one is untouched.
        for length in 0..<next.count {
            try FileSystem.replace(directory("floor.0"), with: Array(next[..<length] + former[length...]))
            try FileSystem.replace(directory("floor.1"), with: former)
            let floor = try store.read()
            #expect(floor == 5, "\(length) bytes")
        }
    }

    @Test("A directory that cannot be written is an error with what to do, and the floor stays")
    func unwritable() throws {
        let store = FloorFile(directory: directory("none"))
        #expect(try store.read() == 0)
        #expect { try store.raise(to: 1) } throws: {
            guard let error = $0 as? FloorError else { return false }
            return error.code == "floor.io" && error.category == .storage && !error.remedy.isEmpty
        }
    }
}

/// A fresh directory that goes with its owner.
final class FloorDirectory {
    let path: String

    init() throws {
        path = FileManager.default.temporaryDirectory.path + "/kedge-floor-\(UUID().uuidString.prefix(8))"
        try FileSystem.makeDirectories(path)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }

    func callAsFunction(_ name: String) -> String { "\(path)/\(name)" }
}
