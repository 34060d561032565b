/// Decides which label to show for a single image, without smoothing and without `hold`.
public struct StillRule: Sendable {
    private let map: LabelMap
    private let thresholds: Thresholds
    private let background: Int?

    public init(configuration: RecognizerConfiguration) {
        map = LabelMap(classes: configuration.classes)
        thresholds = configuration.thresholds.forStills
        background = configuration.background.flatMap(map.index(of:))
    }

    /// The label and the ranking to show for the model's output.
    public func answer(
        to labels: some Sequence<(label: String, probability: Double)>
    ) throws -> Answer {
        let probabilities = try map.probabilities(of: labels)
        var rule = DecisionRule(thresholds: thresholds, background: background)
        let decision = rule.decide(probabilities)
        let ranking = map.ranking(of: probabilities)
        return Answer(
            label: decision.map {
                StableLabel(label: map.classes[$0.index], confidence: $0.confidence)
            },
            isNothing: background.map { map.classes[$0] == ranking.first?.label } ?? false,
            ranking: ranking
        )
    }
}

/// The result for a single image.
public struct Answer: Equatable, Sendable {
    /// The label to show; `nil` if no class is probable enough.
    public let label: StableLabel?
    /// Whether the background is the most probable class. If not, and there is no label, the model
    /// is not sure.
    public let isNothing: Bool
    /// The most probable classes including the background, most probable first.
    public let ranking: [StableLabel]

    public init(label: StableLabel?, isNothing: Bool, ranking: [StableLabel]) {
        self.label = label
        self.isNothing = isNothing
        self.ranking = ranking
    }
}
