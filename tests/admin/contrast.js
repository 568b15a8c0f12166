// The contrast of every text that can be seen: https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio
// Gives {looked_at, poor: [what has less than 4.5, or 3 where the letters are large]}.
() => {
  const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const painted = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const [colour, opacity] of colours) {
      canvas.globalAlpha = opacity;
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((value) => value / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const grounds = (element) => {
    const under = [];
    for (let at = element; at !== null; at = at.parentElement) under.unshift([getComputedStyle(at).backgroundColor, 1]);
    return [["white", 1], ...under];
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const poor = [];
  let looked_at = 0;
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const said = texts.currentNode.textContent.trim();
    if (said === "" || !element.checkVisibility({ visibilityProperty: true }) || element.closest(".unseen, noscript, .skip")) continue;
    looked_at += 1;
    const style = getComputedStyle(element);
    const ground = grounds(element);
    const colour = element instanceof SVGElement ? style.fill : style.color;
    const [light, dark] = [luminance(painted(ground)), luminance(painted([...ground, [colour, 1]]))].sort((a, b) => b - a);
    const ratio = (light + 0.05) / (dark + 0.05);
    const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${said.slice(0, 40)}: ${ratio.toFixed(2)}`);
  }
  return { looked_at, poor };
}
