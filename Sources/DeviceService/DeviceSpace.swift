internal import Platform
internal import UpdateEngine

/// The room on the device's file systems, which other programs write to as well.
final class DeviceSpace: SpaceProbe {
    let reserve: UInt64
    let data: String

    /// `reserve` bytes must stay free.
    init(data: String, reserve: UInt64) {
        self.data = data
        self.reserve = reserve
    }

    func free(at path: String) -> UInt64? {
        do throws(SystemError) {
            // What was not made yet comes where its parent is.
            var place = path
            while try FileSystem.kind(of: place) == nil, FileSystem.parent(of: place) != place {
                place = FileSystem.parent(of: place)
            }
            return try FileSystem.freeSpace(at: place)
        } catch {
            return nil
        }
    }
}
