internal import BundleFormat
internal import Platform
internal import Transfer
internal import Trust

extension Engine {
    /// Reads the kept statement, and verifies it anew: once the channel's keys are not trusted any more, what they
    /// said is forgotten, and the sequence starts over (TUF 1.0.34 section 5.3.11).
    func loadChannel() {
        channelStatement = nil
        guard let channel = outside.channel else { return }
        do throws(SystemError) {
            guard let bytes = try channel.kept.read() else { return }
            do throws(TrustError) {
                let statement = try trust.verify(ChannelStatement.self, bytes).statement
                if statement.channel != channel.name { return }
                channelStatement = statement
                clock.learn(statement.created)
            } catch {
                channelProblem = Failure(error)
            }
        } catch {
            channelProblem = Failure(error)
        }
    }

    /// Looks for a newer statement, where the channel's place is known. Whatever goes wrong is noted and stops
    /// nothing: who can hide the statement can hide the bundle too.
    public func refreshChannel() {
        guard let location = outside.channel?.location else { return loadChannel() }
        refreshChannel(at: location)
    }

    /// The same before an attempt, beside its bundle when there is no other place.
    func refreshChannel(beside bundle: String) {
        guard let channel = outside.channel else { return }
        // Beside a pipe there is nothing.
        if channel.location == nil, BundleLocation.isStandardInput(bundle) { return loadChannel() }
        refreshChannel(
            at: channel.location ?? BundleLocation.neighbor(of: bundle, named: channel.name.text + ".channel.json"))
    }

    private func refreshChannel(at location: String) {
        guard let channel = outside.channel else { return }
        channelProblem = nil
        // Another process may have kept a newer one.
        loadChannel()
        do throws(Failure) {
            let bytes = try Self.fetchStatement(location, channel.sources)
            let statement = try step { () throws(TrustError) in try trust.verify(ChannelStatement.self, bytes) }
                .statement
            if statement == channelStatement { return }
            try step { () throws(EngineError) in try checkNewer(statement, channel) }
            try step { () throws(SystemError) in try channel.kept.write(bytes) }
            channelStatement = statement
            clock.learn(statement.created)
        } catch {
            channelProblem = error
        }
    }

    private func checkNewer(_ statement: ChannelStatement, _ channel: ChannelFollowing) throws(EngineError) {
        if statement.channel != channel.name {
            throw .channelOther(wanted: channel.name.text, found: statement.channel.text)
        }
        if let known = channelStatement, statement.created <= known.created || statement.sequence < known.sequence {
            throw .channelReplayed(sequence: statement.sequence, known: known.sequence)
        }
        if !clock.isPlausible(statement.created) { throw .channelTime(created: statement.created) }
        var rule = sequenceRule()
        rule.accepted = max(rule.accepted, channelStatement?.sequence ?? 0)
        if rule.isJump(statement.sequence) {
            throw .sequenceJump(sequence: statement.sequence, accepted: rule.accepted)
        }
    }

    private static func fetchStatement(_ location: String, _ sources: any SourceOpener) throws(Failure) -> [UInt8] {
        var bytes: [UInt8] = []
        try step { () throws(TransferError) in
            let source = try sources.open(location)
            try source.readAvailable(0..<UInt64(StatementLimits.file + 1)) { (piece) throws(TransferError) in
                bytes.append(contentsOf: [UInt8](copying: piece))
            }
        }
        return bytes
    }

    /// Throws when the policy asks for the newest release, a fresh statement names a newer one than this, and what is
    /// offered is no repair.
    func checkNewest(_ release: VerifiedManifest, isRepair: Bool) throws(EngineError) {
        guard let channel = outside.channel, channel.policy == .newest, let statement = channelStatement, !isRepair,
            now() <= statement.expires
        else { return }
        let offered = release.manifest.sequence
        let isOther = offered == statement.sequence && release.digest != statement.manifest
        if offered < statement.sequence || isOther {
            throw .notNewest(
                sequence: offered, newest: statement.sequence, release: statement.releaseID, channel: channel.name.text)
        }
    }

    /// What reports say of the channel.
    var channelStatus: ChannelStatus? {
        guard let channel = outside.channel else { return nil }
        let now = now()
        return ChannelStatus(
            name: channel.name, policy: channel.policy, statement: channelStatement,
            isStale: channelStatement.map { now > $0.expires } ?? false,
            age: channelStatement.map { max(0, now - $0.created) }, problem: channelProblem)
    }
}
