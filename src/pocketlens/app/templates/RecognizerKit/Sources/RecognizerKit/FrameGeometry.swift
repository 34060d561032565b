import Foundation

/// Where on the screen the camera's frame is, and which part of it the model sees.
///
/// The preview shows the whole frame, as large as the view allows, in its middle. View
/// coordinates have their origin in the upper left corner.
public struct FrameGeometry: Equatable, Sendable {
    /// The upright frame in pixels.
    public let frameSize: CGSize
    public let viewSize: CGSize

    public init(frameSize: CGSize, viewSize: CGSize) {
        self.frameSize = frameSize
        self.viewSize = viewSize
    }

    /// The frame in view coordinates; empty while one of the sizes is.
    public var frameInView: CGRect {
        Self.largest(frameSize, in: CGRect(origin: .zero, size: viewSize))
    }

    /// What the model sees, in view coordinates: with `centerCrop` the largest centered part of the
    /// input's shape, otherwise the whole frame.
    public func seenInView(by input: InputSpec) -> CGRect {
        guard input.crop == .centerCrop else { return frameInView }
        return Self.largest(CGSize(width: input.width, height: input.height), in: frameInView)
    }

    /// The largest rectangle of the same shape as `shape` in the middle of `rect`.
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
