internal import Platform

extension Gateway {
    /// Detaches the loop devices and removes the directory. Refused, before anything is touched, when something is
    /// in it that `create` did not make.
    public func destroy() throws(GatewayError) {
        let names = try asGateway { () throws(SystemError) in try FileSystem.list(directory) }
        if let foreign = names.first(where: { !Self.members.contains($0) }) {
            throw .foreign(path: directory + "/" + foreign)
        }
        try detachMedia()
        try asGateway { () throws(SystemError) in
            // The description goes last: until then the command can be given again.
            for name in names where name != "gateway.json" { try FileSystem.removeTree(directory + "/" + name) }
            try FileSystem.removeTree(directory)
        }
    }
}
