import Foundation

/// The position of the camera's frame in a view, and the part of it that the model sees.
///
/// The preview shows the whole frame, centered and as large as the view allows. The origin of view
/// coordinates is the upper left corner.
public struct FrameGeometry: Equatable, Sendable {
    /// The upright frame in pixels.
    public let frameSize: CGSize
    public let viewSize: CGSize

    public init(frameSize: CGSize, viewSize: CGSize) {
        self.frameSize = frameSize
        self.viewSize = viewSize
    }

    /// The frame in view coordinates; empty if one of the sizes is empty.
    public var frameInView: CGRect {
        Self.largest(frameSize, in: CGRect(origin: .zero, size: viewSize))
    }

    /// The part that the model sees, in view coordinates: with `centerCrop` the largest centered
    /// part with the input's aspect ratio, otherwise the whole frame.
    public func seenInView(by input: InputSpec) -> CGRect {
        guard input.crop == .centerCrop else { return frameInView }
        return Self.largest(CGSize(width: input.width, height: input.height), in: frameInView)
    }

    /// The largest rectangle with the aspect ratio of `shape`, centered in `rect`.
    private static func largest(_ shape: CGSize, in rect: CGRect) -> CGRect {
        guard shape.width > 0, shape.height > 0 else { return .zero }
        let isLimitedByWidth = rect.width * shape.height <= rect.height * shape.width
        let size =
            isLimitedByWidth
            ? CGSize(width: rect.width, height: rect.width * shape.height / shape.width)
            : CGSize(width: rect.height * shape.width / shape.height, height: rect.height)
        return CGRect(
            x: rect.midX - size.width / 2,
            y: rect.midY - size.height / 2,
            width: size.width,
            height: size.height
        )
    }
}
