// Faults of the page makers that a style sheet cannot mend; `make audit` sees when one of these is no longer needed.

// A page that was opened from a file may not fetch others, of which the search would show a few lines each
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;

document.addEventListener("DOMContentLoaded", () => {
  // sphinx-exercise gives all exercises of a page one id, and all solutions another
  document.querySelectorAll("#exercise-content, #solution-content").forEach((node) => node.removeAttribute("id"));

  // docutils gives entries of a bibliography a role that ARIA has withdrawn, in a list that then has no items
  document.querySelectorAll(".citation-list > .citation").forEach((node) => node.setAttribute("role", "listitem"));

  // The theme lets the keyboard into boxes that scroll when the window changes; one that was folded needs it as well
  const unfolded = () => window.dispatchEvent(new Event("resize"));
  document.addEventListener("toggle", unfolded, true);
  document.querySelectorAll(".toggle-button").forEach((node) => node.addEventListener("click", unfolded));
});
