// Mermaid writes styles into its page, which the policy of the chat refuses: it works here, in a sandboxed document of its
// own, and hands a picture back. It gets a text and gives a text; nothing else passes.
'use strict'

var FONT = '-apple-system, "PingFang SC", "Microsoft YaHei", "Noto Sans CJK SC", "WenQuanYi Zen Hei", sans-serif'
// The page's colours (src/styles/tokens.css).
var LIGHT = { fontSize: '15px', primaryColor: '#e8f0fd', primaryBorderColor: '#9dbdf0', primaryTextColor: '#1b1e24', lineColor: '#6b7280', edgeLabelBackground: '#f6f7f9', background: '#f6f7f9' }
var DARK = { darkMode: true, fontSize: '15px', primaryColor: '#1c2a42', primaryBorderColor: '#44689e', primaryTextColor: '#e8eaee', lineColor: '#959dab', edgeLabelBackground: '#15181c', background: '#15181c' }
var SECURE = ['secure', 'securityLevel', 'startOnLoad', 'maxTextSize', 'maxEdges', 'suppressErrorRendering', 'htmlLabels', 'themeCSS', 'themeVariables', 'flowchart', 'fontFamily', 'altFontFamily', 'dompurifyConfig']
var count = 0

window.addEventListener('message', function (event) {
  if (event.source !== window.parent)
    return
  var id = event.data.id
  window.mermaid.initialize({
    startOnLoad: false,
    securityLevel: 'strict',
    // What a drawing's own text may not set: the policy of this document is the other wall.
    secure: SECURE,
    suppressErrorRendering: true,
    theme: 'base',
    themeVariables: event.data.dark ? DARK : LIGHT,
    fontFamily: FONT,
    htmlLabels: false,
    flowchart: { htmlLabels: false, useMaxWidth: false },
    sequence: { useMaxWidth: false },
  })
  window.mermaid.render('drawing' + ++count, event.data.text).then(function (result) {
    window.parent.postMessage({ id: id, svg: result.svg }, '*')
  }, function () {
    window.parent.postMessage({ id: id, svg: '' }, '*')
  })
})
window.parent.postMessage({ ready: true }, '*')
