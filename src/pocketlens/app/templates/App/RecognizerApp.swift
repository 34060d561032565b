import SwiftUI

@main
struct RecognizerApp: App {
    @State private var model = AppModel()

    var body: some Scene {
        WindowGroup {
            RootScreen(model: model)
        }
    }
}
